import type { Result } from 'neverthrow'
import { callInSteps, type DriverConnection } from './driver-call.js'
import { InvalidArgumentError, VmError } from './errors.js'
import type { JobOptions } from './job/job-options.js'
import type { JobSteps } from './job/job-steps.js'
import type { Job } from './job/job.js'
import { checkTimeout } from './job/timeout.js'
import type { StopErrors } from './operation-errors.js'
import { operations, type JobTarget } from './operations.js'
import { readStopOptions, type StopMode, type StopOptions } from './vm-arguments.js'

interface Stoppable {
  readonly target: JobTarget
  readonly stop: (mode: StopMode, options?: JobOptions, refusal?: InvalidArgumentError) => Job<StopMode, StopErrors>
}

/** Longest time that the kill may take after a shutdown: hosts end a VM within seconds. */
const killTimeoutMs = 60_000

/** `vm.stop()`: by the guest, by taking the power away, or by the one and then the other. */
export function stopVm(
  connection: DriverConnection,
  options: StopOptions | undefined,
  vm: Stoppable,
): Job<StopMode, StopErrors> {
  const { own, job } = readStopOptions(options)
  if (own.isErr()) return vm.stop('shutdown', job, own.error)
  const { mode = 'shutdown', thenKill } = own.value
  if (thenKill !== true) return vm.stop(mode, job)
  const { timeoutMs = operations['vm.stop'].timeoutMs } = job ?? {}
  const refusal = mode === 'kill' ? notAfterKill() : checkTimeout(timeoutMs)
  return callInSteps(connection, {
    operation: 'vm.stop',
    target: vm.target,
    needs: ['vm.stop'],
    refusal,
    options: { ...job, timeoutMs: undefined },
    work: (steps) => stopThenKill(vm, timeoutMs, steps),
  })
}

const notAfterKill = (): InvalidArgumentError => {
  const path = 'options.thenKill'
  return new InvalidArgumentError({ path, reason: `${path} must not be true with mode "kill"` })
}

/** Takes the power away if the guest can't be asked to shut down, or has not done so in its time. */
async function stopThenKill(vm: Stoppable, timeoutMs: number, steps: JobSteps): Promise<Result<StopMode, VmError>> {
  const asked = await steps.run(() => vm.stop('shutdown', { timeoutMs }), {
    phase: 'waiting for the guest to shut down',
    share: [0, 90],
  })
  if (asked.isOk() || !isUnanswered(asked.error)) return asked
  const killing = { phase: 'taking the power away', share: [90, 100], isLast: true } as const
  const killed = await steps.run(() => vm.stop('kill', { timeoutMs: killTimeoutMs }), killing)
  return killed.mapErr((error) => VmError.withHint(error, 'Its guest had been asked to shut down before.'))
}

const isUnanswered = ({ code }: VmError): boolean =>
  code === 'GUEST_UNAVAILABLE' || code === 'TIMEOUT' || code === 'OUTCOME_UNKNOWN'
