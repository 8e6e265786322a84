import { closedBeforeAnswer, closedBeforeSending } from '../errors/closed.js'
import { JobCancelledError, OutcomeUnknownError, type VmError } from '../errors.js'
import { operations, type OperationSpec } from '../operations.js'
import { hostTask } from './host-task.js'
import type { Task } from './task.js'

/** What a change is given besides its task. */
export interface Sending {
  /**
   * Aborted if the job is cancelled, its time is over or the connection is closed before anything was sent. For the steps that
   * come before the change: waiting in line, looking the VM up, checking its state.
   */
  readonly signal: AbortSignal
  /**
   * Call it right before the request to the host: from then on the change counts as sent. The job can be cancelled until then;
   * afterwards only if the driver uses {@link Task.signal} or {@link Task.cancelWith}.
   *
   * @throws if the job was cancelled, or has ended, or the connection was closed: then nothing must be sent
   */
  readonly send: () => void
}

/**
 * The work of one connection to a host. It refuses new work once the connection is closed, waits at the close for the work
 * under way, and ends work that fails after the close in the same way for every host: a change that was sent with
 * `OUTCOME_UNKNOWN`, a change that was not sent, or a query, with `CONNECTION_FAILED`. Work that succeeds after the close
 * succeeds, and an {@link OutcomeUnknownError} that the driver throws itself stays as it is.
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
  /** Aborts the signals of the changes that were not sent yet. */
  readonly #unsent = new Set<AbortController>()
  readonly #closing = new AbortController()

  /**
   * @param explain turns an error of the host into a `VmError`, or a promise of one. Not needed if the host throws `VmError`s.
   *   The task is absent for work without a job.
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

  /** Runs a query, which changes nothing on the host. */
  query<T>(task: Task, action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeSending, task)
  }

  /** Runs work without a job. A close waits for it. */
  aside<T>(action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeSending, undefined)
  }

  /** Runs a change. It counts as sent once the action has called `send`. */
  change<T>(task: Task, action: (sending: Sending) => Promise<T>): Promise<T> {
    const stop = new AbortController()
    const abort = (reason = 'it was cancelled before anything was sent'): void => {
      stop.abort(new JobCancelledError({ reason }))
    }
    // Before any waiting: the job can be cancelled, and counts as not sent, from its start.
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
    const { isQuery }: OperationSpec = operations[task.operation]
    const closed = (cause?: unknown): VmError =>
      isSent && isQuery !== true ? closedBeforeAnswer(cause) : closedBeforeSending(cause)
    return this.#run(() => action({ signal: stop.signal, send }).finally(forget), closed, task)
  }

  /** Runs a change that is sent at once: it counts as sent from its start. */
  sent<T>(task: Task, action: () => Promise<T>): Promise<T> {
    return this.#run(action, closedBeforeAnswer, task)
  }

  /** Refuses new work, and waits until the work under way has ended. The driver ends it. */
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
