import { err, type Result } from 'neverthrow'
import { callInSteps, type DriverConnection } from './driver-call.js'
import { VmError, type InvalidArgumentError } from './errors.js'
import type { JobOptions } from './job/job-options.js'
import type { JobSteps } from './job/job-steps.js'
import type { Job } from './job/job.js'
import type { StartErrors } from './operation-errors.js'
import type { JobTarget } from './operations.js'
import { readStartOptions, type StartOptions } from './vm-arguments.js'

interface Startable {
  readonly target: JobTarget
  readonly start: (options?: JobOptions, refusal?: InvalidArgumentError) => Job<void, StartErrors>
  readonly waitUntilReady: () => Job<void>
}

/** `vm.start()`: until the VM runs, or until its guest is ready. */
export function startVm(
  connection: DriverConnection,
  options: StartOptions | undefined,
  vm: Startable,
): Job<void, StartErrors> {
  const { own, job } = readStartOptions(options)
  if (own.isErr()) return vm.start(job, own.error)
  if (own.value.until !== 'ready') return vm.start(job)
  return callInSteps(connection, {
    operation: 'vm.start',
    target: vm.target,
    needs: ['vm.start', 'guest.waitUntilReady'],
    options: job,
    work: (steps) => startUntilReady(vm, steps),
  })
}

const hint = 'The VM was started: wait again with vm.guest.waitUntilReady(), or stop it with vm.stop().'

async function startUntilReady(vm: Startable, steps: JobSteps): Promise<Result<void, VmError>> {
  const started = await steps.run(() => vm.start(), { phase: 'starting', share: [0, 50] })
  if (started.isErr()) return err(started.error)
  const waiting = { phase: 'waiting until the guest is ready', share: [50, 100], isLast: true } as const
  return (await steps.run(vm.waitUntilReady, waiting)).mapErr((error) => VmError.withHint(error, hint))
}
