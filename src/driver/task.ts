import type { JobTarget, OperationCode } from '../operations.js'

/** How far an operation has come; the percentage follows from `done` and `total` where it is absent. */
export interface ProgressUpdate {
  readonly percent?: number | undefined
  readonly phase?: string | undefined
  readonly done?: number | undefined
  readonly total?: number | undefined
  readonly unit?: string | undefined
}

/**
 * Asks the host to stop. `false`, or an error, says that it can't be stopped; anything else that the request was taken,
 * and that the operation's own promise will tell how it ended.
 */
export type CancelHandler = (
  reason: string | undefined,
) => boolean | undefined | void | Promise<boolean | undefined | void>

/** A job as the driver that works on it sees it. */
export interface Task {
  readonly operation: OperationCode
  readonly target: JobTarget | undefined
  /**
   * Aborted when the job is asked to stop. Touching it makes the job cancellable: the driver then promises to stop, and to
   * reject with a `JobCancelledError` or the signal's reason once the operation has really been stopped. A job that ends so
   * though nobody has asked for it becomes a `HostError`.
   */
  readonly signal: AbortSignal
  progress(update: ProgressUpdate): void
  /** Makes the job cancellable by asking; returns what takes the handler away, where it can't be stopped any more. */
  cancelWith(handler: CancelHandler): () => void
  /**
   * Says that the host has not been asked for the change yet, until the returned function is called: a job that is given up
   * before then ends with a `TimeoutError` or a `ConnectionError`, and later with an `OutcomeUnknownError`. To be called before
   * any waiting. The returned function throws where the job has ended already: then nothing must be sent.
   */
  holdBack(): () => void
  /** Calls the listener if the job ends while it is still worked on: its time is over, and nobody waits for the work any more. */
  onGivenUp(listener: () => void): () => void
  /** Says whether the host can be asked about the job at present; while it can't, the job's status is `'unknown'`. */
  setReachable(isReachable: boolean): void
  /** What finds this job again on its host, from any process. */
  setToken(token: string): void
  /** How far the job has come, as its users see it. */
  readonly reported: ProgressUpdate
  /** Whether a request to stop has somebody to ask at present. */
  readonly isCancelable: boolean
  /** Whether somebody has asked for the job to be stopped. A job that ends as cancelled though nobody asked has failed. */
  readonly isAskedToStop: boolean
  /** Says that somebody elsewhere has asked the host to stop it, which the host has taken. */
  noteCancel(reason: string): void
  /** Asks the job to stop, for somebody elsewhere who follows it; `false` says that it can't be stopped, and goes on. */
  requestCancel(reason: string): Promise<boolean>
}
