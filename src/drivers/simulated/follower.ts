import type { Task } from '../../driver/task.js'
import { ConnectionError, OutcomeUnknownError } from '../../errors.js'
import type { Run } from './run.js'

/** What a connection does with the jobs that are under way on it. */
export interface Following {
  /** The connection is lost: from now on nobody can say how it goes on. */
  lose(): void
  /** The connection is back, and the host tells. */
  regain(): void
  /** Nobody is going to say. */
  giveUp(reason: string): void
}

/** A job of a connection that follows what its host does; it lives as long as the job does not know how that ended. */
export class Follower<T> implements Following {
  readonly promise: Promise<T>
  readonly #task: Task
  readonly #stop: () => void
  #settle: (outcome: Promise<T>) => void = () => undefined
  #isLost = false
  /** What has happened, while the connection is lost. */
  #outcome: Promise<T> | undefined

  /** @param onEnd called when it follows no more */
  constructor(run: Run<T>, task: Task, onEnd: () => void) {
    this.#task = task
    const unlisten = run.listen({
      onToken: (token) => {
        task.setToken(token)
      },
      onProgress: (progress) => {
        if (!this.#isLost) task.progress(progress)
      },
      onCancel: (reason) => {
        task.noteCancel(reason)
      },
    })
    const forget = run.mayBeCancelled
      ? task.cancelWith((reason) => {
          if (this.#isLost) throw connectionLost()
          return run.cancel(reason)
        })
      : undefined
    this.#stop = () => {
      unlisten()
      forget?.()
      onEnd()
    }
    this.promise = new Promise((resolve) => {
      this.#settle = resolve
    })
    const take = (): void => {
      this.#take(run.outcome)
    }
    run.outcome.then(take, take)
  }

  lose(): void {
    this.#isLost = true
    this.#task.setReachable(false)
  }

  regain(): void {
    this.#isLost = false
    this.#task.setReachable(true)
    if (this.#outcome !== undefined) this.#end(this.#outcome)
  }

  giveUp(reason: string): void {
    const hint = 'Ask for the state of the VM: it may have taken place.'
    this.#end(Promise.reject(new OutcomeUnknownError({ reason, hint })))
  }

  #take(outcome: Promise<T>): void {
    if (this.#isLost) this.#outcome = outcome
    else this.#end(outcome)
  }

  #end(outcome: Promise<T>): void {
    this.#stop()
    this.#settle(outcome)
  }
}

export const connectionLost = (reason = 'the connection to the host is lost'): ConnectionError =>
  new ConnectionError({ reason, hint: 'Try again once it is back.' })
