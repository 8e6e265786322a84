import { err, type Result } from 'neverthrow'
import { callInSteps, type DriverConnection } from './driver-call.js'
import { VmError, type InvalidArgumentError } from './errors.js'
import type { JobOptions } from './job/job-options.js'
import type { JobSteps } from './job/job-steps.js'
import type { Job } from './job/job.js'
import type { DeleteErrors } from './operation-errors.js'
import type { JobTarget } from './operations.js'
import { readDeleteOptions, type DeleteOptions } from './vm-arguments.js'

interface Deletable {
  readonly target: JobTarget
  readonly delete: (options?: JobOptions, refusal?: InvalidArgumentError) => Job<void, DeleteErrors>
  readonly kill: () => Job<unknown>
}

/** `vm.delete()`: of a VM at rest, or by force. */
export function deleteVm(
  connection: DriverConnection,
  options: DeleteOptions | undefined,
  vm: Deletable,
): Job<void, DeleteErrors> {
  const { own, job } = readDeleteOptions(options)
  if (own.isErr()) return vm.delete(job, own.error)
  if (own.value.force !== true) return vm.delete(job)
  return callInSteps(connection, {
    operation: 'vm.delete',
    target: vm.target,
    needs: ['vm.delete', 'vm.stop'],
    options: job,
    work: (steps) => deleteByForce(vm, steps),
  })
}

/**
 * Takes the power away if the host refuses to delete the VM because of its state. The host is not asked for the state before: it can
 * delete a VM that is damaged, and whose state nobody can tell.
 */
async function deleteByForce(vm: Deletable, steps: JobSteps): Promise<Result<void, VmError>> {
  const deleted = await steps.run(() => vm.delete(), { phase: 'deleting', share: [0, 10], isLast: true })
  if (deleted.isOk() || deleted.error.code !== 'INVALID_STATE') return deleted
  const killed = await steps.run(vm.kill, { phase: 'taking the power away', share: [10, 50] })
  if (killed.isErr()) return err(killed.error)
  const deletedAtLast = await steps.run(() => vm.delete(), { phase: 'deleting', share: [50, 100], isLast: true })
  return deletedAtLast.mapErr((error) => VmError.withHint(error, 'The power of the VM had been taken away before.'))
}
