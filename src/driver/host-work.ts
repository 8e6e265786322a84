import { closedBeforeAnswer, closedBeforeSending } from '../errors/closed.js'
import { JobCancelledError, OutcomeUnknownError, type VmError } from '../errors.js'
import { hostTask } from './host-task.js'
import type { Task } from './task.js'

/** What a change is given besides its task. */
export interface Sending {
  /**
   * Aborted when the job is cancelled or its time is over before anything was sent, and when the connection is closed before.
   * For the questions that come before a change: waiting in line, looking the VM up, checking its state.
   */
  readonly signal: AbortSignal
  /**
   * To be called right before the host is asked for the change: from here on the change counts as sent. Until then the job can
   * be cancelled; afterwards only if the driver uses {@link Task.signal} or {@link Task.cancelWith}.
   *
   * @throws if the job was cancelled, or has ended, or the connection was closed: then nothing must be sent
   */
  readonly send: () => void
}

/**
 * The work of one connection to a host: it counts what is under way, takes no more once the connection is closed, and gives
 * one answer to work that a close interrupts: `OUTCOME_UNKNOWN` for a change that was sent, `CONNECTION_FAILED` for a
 * change that was not, and for a query. Work that succeeds in spite of the close stands, and so does an
 * {@link OutcomeUnknownError} of the driver's own, which says more.
 *
 * @example
 * ```ts
 * import type { VmState } from 'awaitvm'
 * import { HostWork, requireState, type DriverOperations } from 'awaitvm/driver'
 *
 * declare const host: {
 *   stateOf(vm: string, signal?: AbortSignal): Promise<VmState>
 *   start(vm: string): Promise<VmState>
 * }
 *
 * const work = new HostWork()
 * const operations: DriverOperations = {
 *   'vm.getState': ({ vm }, task) => work.query(task, () => host.stateOf(vm)),
 *   'vm.start': ({ vm }, task) =>
 *     work.change(task, async ({ signal, send }) => {
 *       requireState('vm.start', await host.stateOf(vm, signal))
 *       send()
 *       return await host.start(vm)
 *     }),
 * }
 * ```
 */
export class HostWork {
  readonly #explain: (error: unknown, task: Task | undefined) => unknown
  readonly #underWay = new Set<Promise<unknown>>()
  /** What stops the changes that were not sent yet. */
  readonly #unsent = new Set<AbortController>()
  readonly #closing = new AbortController()

  /**
   * @param explain an error of the host as awaitvm words it, or a promise of that; a driver whose host fails with `VmError`s
   *   needs none. The task is absent for work that no job waits for.
   */
  constructor(explain: (error: unknown, task: Task | undefined) => unknown = (error) => error) {
    this.#explain = explain
  }

  /** True from the beginning of {@link close} on. */
  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Aborted when the connection is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Asks the host for something, and changes nothing. */
  query<T>(task: Task, action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeSending, task)
  }

  /** Work that no job waits for, but a close. */
  aside<T>(action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeSending, undefined)
  }

  /** Changes something on the host, once the action has called `send`. */
  change<T>(task: Task, action: (sending: Sending) => Promise<T>): Promise<T> {
    const stop = new AbortController()
    const abort = (reason = 'it was cancelled before anything was sent'): void => {
      stop.abort(new JobCancelledError({ reason }))
    }
    // Called before any waiting, so that the job can be cancelled, and counts as not sent, from its first moment.
    const host = hostTask(task)
    const release = host.holdBack()
    const forgets = [host.cancelWith(abort), host.onGivenUp(abort)]
    this.#unsent.add(stop)
    let isSent = false
    const forget = (): void => {
      this.#unsent.delete(stop)
      for (const each of forgets) each()
    }
    const send = (): void => {
      if (isSent) return
      stop.signal.throwIfAborted()
      release()
      isSent = true
      forget()
    }
    const closed = (cause?: unknown): VmError => (isSent ? closedBeforeAnswer(cause) : closedBeforeSending(cause))
    return this.#run(() => action({ signal: stop.signal, send }).finally(forget), closed, task)
  }

  /** Changes something on a host that is asked for it at once: the change counts as sent from its start. */
  sent<T>(task: Task, action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeAnswer, task)
  }

  /** Takes no more work, and waits until what is under way has ended; to end it is the driver's part. */
  async close(): Promise<void> {
    const reason = closedBeforeSending()
    this.#closing.abort(reason)
    for (const stop of this.#unsent) stop.abort(reason)
    await Promise.allSettled(this.#underWay)
  }

  #run<T>(action: () => Promise<T>, closed: (cause?: unknown) => VmError, task: Task | undefined): Promise<T> {
    if (this.isClosed) return Promise.reject(closedBeforeSending())
    const work = this.#perform(action, closed, task)
    this.#underWay.add(work)
    const forget = (): void => void this.#underWay.delete(work)
    work.then(forget, forget)
    return work
  }

  async #perform<T>(
    action: () => Promise<T>,
    closed: (cause?: unknown) => VmError,
    task: Task | undefined,
  ): Promise<T> {
    try {
      return await action()
    } catch (error) {
      if (!this.isClosed) throw await this.#explain(error, task)
      throw error instanceof OutcomeUnknownError ? error : closed(error)
    }
  }
}
