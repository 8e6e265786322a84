import type { ProgressUpdate } from '../model/host-job.js'
import type { JobTarget, OperationCode } from '../operations.js'

/**
 * Asks the host to stop an operation. `false`, or an error, means that it can't be stopped; anything else means that the
 * request was taken, and that the operation's own promise will tell how it ended.
 */
export type CancelHandler = (
  reason: string | undefined,
) => boolean | undefined | void | Promise<boolean | undefined | void>

/**
 * A job as the driver that works on it sees it.
 *
 * @example
 * ```ts
 * import type { Task, VmRecord } from 'awaitvm/driver'
 *
 * interface Copy {
 *   readonly id: string
 *   readonly result: Promise<VmRecord>
 *   progress(): AsyncIterable<{ readonly done: number; readonly total: number }>
 *   stop(): Promise<boolean>
 * }
 *
 * async function follow(copy: Copy, task: Task): Promise<VmRecord> {
 *   task.setToken(copy.id)
 *   task.cancelWith(() => copy.stop())
 *   for await (const { done, total } of copy.progress()) {
 *     task.progress({ phase: 'copying', done, total, unit: 'bytes' })
 *   }
 *   return copy.result
 * }
 * ```
 */
export interface Task {
  /** The operation that the job is of: `'vm.start'`. */
  readonly operation: OperationCode
  /** What the operation is about: a VM, a snapshot, the host. */
  readonly target: JobTarget | undefined
  /**
   * Aborted when the job is asked to stop. Reading it makes the job cancellable: the driver must then stop the operation, and
   * reject with a `JobCancelledError` or the signal's reason once it has really stopped. If nobody asked the job to stop, such
   * a rejection becomes a `HostError`.
   */
  readonly signal: AbortSignal
  /** Tells how far the operation has come. */
  progress(update: ProgressUpdate): void
  /** Makes the job cancellable by asking the host, until the returned function is called. */
  cancelWith(handler: CancelHandler): () => void
  /** Sets the token that finds this job on its host again, from any process: {@link HostJob.token}. */
  setToken(token: string): void
}
