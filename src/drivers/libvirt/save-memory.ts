import { pause } from '../../driver/backoff.js'
import type { Task } from '../../driver/task.js'
import type { ConnectionPool } from './connection-pool.js'
import type { Domain } from './rpc/procedures.js'
import { RemoteError } from './rpc/remote-error.js'
import { numberIn } from './rpc/typed-parameter.js'

/** `VIR_DOMAIN_SAVE_RUNNING`: it runs when its memory is loaded, also if it is paused now. */
const runsAgain = 2

/** `VIR_DOMAIN_JOB_OPERATION_SAVE` */
const saving = 2

/** Between two looks at how far it has come, in milliseconds. */
const everyMs = 250

/** Saves the memory of a VM, and turns it off. libvirt can be asked to stop that, and does so on its own connection. */
export async function saveMemory(pool: ConnectionPool, dom: Domain, task: Task): Promise<void> {
  const done = new AbortController()
  const forget = task.cancelWith(() => abortJob(pool, dom))
  const following = follow(pool, dom, task, done.signal)
  try {
    await pool.callLong('domain_managed_save', { dom, flags: runsAgain })
  } finally {
    forget()
    done.abort()
    await following
  }
}

/**
 * Whether libvirt has taken the request: the answer to the save tells how it ended. While another client's job is under way, such as a
 * backup, the save waits for its turn, and the job that would be ended is not ours.
 */
async function abortJob(pool: ConnectionPool, dom: Domain): Promise<boolean> {
  try {
    const { params } = await pool.control.call('domain_get_job_stats', { dom, flags: 0 })
    if (numberIn(params, 'operation') !== saving) return false
    await pool.control.call('domain_abort_job', { dom })
    return true
  } catch (error) {
    // It has none, any more or not yet; or its hypervisor can't.
    if (error instanceof RemoteError) return false
    throw error
  }
}

/** Reports how far it has come, as far as libvirt tells. */
async function follow(pool: ConnectionPool, dom: Domain, task: Task, end: AbortSignal): Promise<void> {
  const isOver = (): boolean => end.aborted
  while (!isOver()) {
    await pause(everyMs, end)
    if (isOver()) return
    try {
      const { params } = await pool.control.call('domain_get_job_stats', { dom, flags: 0 })
      const total = numberIn(params, 'data_total')
      const done = numberIn(params, 'data_processed')
      if (total !== undefined && done !== undefined && total > 0) {
        task.progress({ phase: 'saving memory', done, total, unit: 'bytes' })
      }
    } catch {
      // The save itself tells what went wrong.
      return
    }
  }
}
