import type { Task } from '../../driver/task.js'
import { JobCancelledError } from '../../errors.js'
import type { LiveVm } from './live-vm.js'

/**
 * Lets a press of the power button be taken back until the guest takes notice of it, and rejects when it was. From then on
 * the operation can't be cancelled: what is left of a restart is done.
 */
export function withdrawable(live: LiveVm, task: Task): Promise<never> {
  const withdrawn = new Promise<never>((_resolve, reject) => {
    task.cancelWith(async (reason) => {
      if (!(await live.machine.withdrawPowerButton())) return false
      reject(new JobCancelledError({ reason: reason ?? 'it was cancelled before the guest took notice' }))
      return true
    })
  })
  // The job may have ended by then.
  withdrawn.catch(() => undefined)
  return withdrawn
}
