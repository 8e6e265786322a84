import type { ProgressUpdate } from '../model/host-job.js'
import type { Task } from './task.js'

/** A task as the kit and the drivers of awaitvm see it. */
export interface HostTask extends Task {
  /**
   * Tells that the host has not been asked for the change yet, until the returned function is called: a job that is given up
   * before then ends with a `TimeoutError` or a `ConnectionError`, and later with an `OutcomeUnknownError`. To be called before
   * any waiting. The returned function throws if the job has ended: then nothing must be sent.
   */
  holdBack(): () => void
  /**
   * Asks the host for something before the change: until the answer, the change counts as not sent, and a job that has ended by then
   * rejects with its error.
   */
  askFirst<T>(ask: () => Promise<T>): Promise<T>
  /** Calls the listener if the job ends while it is still worked on: its time is over, and nobody waits for the work any more. */
  onGivenUp(listener: () => void): () => void
  /** Tells whether the host can be asked about the job at present; while it can't, the job's status is `'unknown'`. */
  setReachable(isReachable: boolean): void
  /** How far the job has come, as its users see it. */
  readonly reported: ProgressUpdate
  /** Whether a request to stop has somebody to ask at present. */
  readonly isCancelable: boolean
  /** Whether somebody has asked for the job to be stopped. A job that ends as cancelled though nobody asked has failed. */
  readonly isAskedToStop: boolean
  /** Tells that somebody elsewhere has asked the host to stop the job, and that the host has taken the request. */
  noteCancel(reason: string): void
  /** Asks the job to stop, for somebody elsewhere who follows it; `false` if it can't be stopped, and goes on. */
  requestCancel(reason: string): Promise<boolean>
}

/** The task with all that awaitvm's own jobs offer a driver. */
export function hostTask(task: Task): HostTask {
  if (!isHostTask(task)) {
    throw new TypeError('The task was not made by awaitvm. Hand the driver the task that its operation was given.')
  }
  return task
}

const isHostTask = (task: Task): task is HostTask => 'holdBack' in task && 'noteCancel' in task
