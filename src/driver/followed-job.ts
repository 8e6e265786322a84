import { ConnectionError } from '../errors.js'
import type { ProgressUpdate } from '../model/host-job.js'
import { hostTask, type HostTask } from './host-task.js'
import type { CancelHandler, Task } from './task.js'

/** What a host tells of one of its jobs while it works on it. */
export interface HostJobListener {
  /** The host keeps the job by this token. */
  onToken?(token: string): void
  /** How far the host has come. */
  onProgress(progress: ProgressUpdate): void
  /** Another client asked the host to stop the job, and the host took the request. */
  onCancel(reason: string): void
}

/** A job that a host works on, as a driver hears of it: by events, or by asking again and again. */
export interface HostJobSource<T> {
  /** How the job ends on the host; a rejection is the error that it ends with. */
  readonly outcome: Promise<T>
  /** Whether the host can be asked to stop the job. */
  readonly isCancelable: boolean
  /** Asks the host to stop the job; answers as a {@link CancelHandler} does. */
  cancel(reason: string | undefined): ReturnType<CancelHandler>
  /**
   * Calls the listener with what is known of the job already, then with each change, until the returned function is called.
   */
  listen(listener: HostJobListener): () => void
}

/**
 * Follows a job of the host over a connection that may break. While the connection is lost, the job's status is `'unknown'`, its
 * progress stands still, and `cancel()` is refused with a {@link ConnectionError}; an outcome that arrives then is held back until
 * {@link regain}.
 *
 * @example
 * ```ts
 * import { FollowedJob, type HostJobSource, type Task } from 'awaitvm/driver'
 * import { OutcomeUnknownError } from 'awaitvm'
 *
 * const gone = (): Error => new OutcomeUnknownError({ reason: 'the host does not answer any more' })
 *
 * async function follow(source: HostJobSource<void>, connection: EventTarget, task: Task): Promise<void> {
 *   const job = new FollowedJob(source, task)
 *   connection.addEventListener('lost', () => job.lose())
 *   connection.addEventListener('back', () => job.regain())
 *   connection.addEventListener('gone', () => job.giveUp(gone()))
 *   await job.outcome
 * }
 * ```
 */
export class FollowedJob<T> {
  /** How the job ends for this connection: as on the host, or with the error of {@link giveUp}. */
  readonly outcome: Promise<T>
  readonly #task: HostTask
  readonly #stop: () => void
  #settle: (outcome: Promise<T>) => void = () => undefined
  #isLost = false
  #hasEnded = false
  /** The outcome on the host, once it has arrived. */
  #arrived: Promise<T> | undefined

  /** Follows from now on; a task follows one job. */
  constructor(source: HostJobSource<T>, task: Task) {
    this.#task = hostTask(task)
    const unlisten = source.listen({
      onToken: (token) => {
        task.setToken(token)
      },
      onProgress: (progress) => {
        if (!this.#isLost) task.progress(progress)
      },
      onCancel: (reason) => {
        this.#task.noteCancel(reason)
      },
    })
    const withdraw = source.isCancelable
      ? task.cancelWith((reason) => {
          if (this.#isLost) throw connectionLost()
          return source.cancel(reason)
        })
      : undefined
    this.#stop = () => {
      unlisten()
      withdraw?.()
    }
    this.outcome = new Promise((resolve) => {
      this.#settle = resolve
    })
    const take = (): void => {
      this.#arrived = source.outcome
      if (!this.#isLost) this.#end(source.outcome)
    }
    source.outcome.then(take, take)
  }

  /** The connection is lost: until {@link regain}, the state of the job is unknown. */
  lose(): void {
    if (this.#hasEnded) return
    this.#isLost = true
    this.#task.setReachable(false)
  }

  /** The connection is back: the job goes on, or ends as it did on the host while the connection was lost. */
  regain(): void {
    if (this.#hasEnded) return
    this.#isLost = false
    this.#task.setReachable(true)
    if (this.#arrived !== undefined) this.#end(this.#arrived)
  }

  /** Ends the job for this connection with the error, unless it has ended; on the host it may go on. */
  giveUp(error: Error): void {
    if (!this.#hasEnded) this.#end(Promise.reject(error))
  }

  #end(outcome: Promise<T>): void {
    this.#hasEnded = true
    this.#stop()
    this.#settle(outcome)
  }
}

/** The jobs that follow the host over one connection, which all lose it at once. */
export class FollowedJobs {
  readonly #jobs = new Set<Pick<FollowedJob<unknown>, 'lose' | 'regain' | 'giveUp'>>()

  /** Follows a job until it ends; answers as {@link FollowedJob.outcome}. */
  async follow<T>(source: HostJobSource<T>, task: Task): Promise<T> {
    const job = new FollowedJob(source, task)
    this.#jobs.add(job)
    try {
      return await job.outcome
    } finally {
      this.#jobs.delete(job)
    }
  }

  /** The connection is lost. */
  lose(): void {
    for (const job of this.#jobs) job.lose()
  }

  /** The connection is back. */
  regain(): void {
    for (const job of this.#jobs) job.regain()
  }

  /** The connection will not come back: each job ends with an error of its own. */
  giveUp(error: () => Error): void {
    for (const job of this.#jobs) job.giveUp(error())
  }
}

/** Error for a call over a connection that is lost, and may come back. */
export const connectionLost = (reason = 'the connection to the host is lost'): ConnectionError =>
  new ConnectionError({ reason, hint: 'Try again once it is back.' })
