import type { ProgressUpdate } from '../model/host-job.js'
import type { Task } from './task.js'

/** A task with the members that only the kit and the drivers of awaitvm use. */
export interface HostTask extends Task {
  /**
   * Marks the change as not sent until the returned function is called: a job that is given up before then ends with a
   * `TimeoutError` or a `ConnectionError`, and later with an `OutcomeUnknownError`. Call it before any waiting. The returned
   * function throws if the job has ended: then nothing must be sent.
   */
  holdBack(): () => void
  /**
   * Asks the host for something before the change: until the answer, the change counts as not sent, and a job that has ended by then
   * rejects with its error.
   */
  askFirst<T>(ask: () => Promise<T>): Promise<T>
  /** Calls the listener if the job ends before its work: the time of the job is over. */
  onGivenUp(listener: () => void): () => void
  /** Sets whether the host can be asked about the job at present. While it can't, the status of the job is `'unknown'`. */
  setReachable(isReachable: boolean): void
  /** The progress that users see. */
  readonly reported: ProgressUpdate
  /** Whether the job can be cancelled at present. */
  readonly isCancelable: boolean
  /** Whether the job was asked to stop. A job that ends as cancelled without that has failed. */
  readonly isAskedToStop: boolean
  /** Notes that another client asked the host to stop the job, and that the host took the request. */
  noteCancel(reason: string): void
  /** Asks the job to stop, for another process that follows it; `false` if it can't be stopped, and goes on. */
  requestCancel(reason: string): Promise<boolean>
}

/** The task with all its members. Throws if the task was not made by awaitvm. */
export function hostTask(task: Task): HostTask {
  if (!isHostTask(task)) {
    throw new TypeError('The task was not made by awaitvm. Hand the driver the task that its operation was given.')
  }
  return task
}

const isHostTask = (task: Task): task is HostTask => 'holdBack' in task && 'noteCancel' in task
