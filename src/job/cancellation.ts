import PCancelable from 'p-cancelable'
import type { CancelHandler } from '../driver/task.js'

/** Why a job is asked to stop. */
export interface CancelRequest {
  readonly by: 'caller' | 'signal' | 'timeout'
  readonly reason: string
  /** The reason that the signal was aborted with. */
  readonly cause?: unknown
}

export interface Refusal {
  readonly cause?: unknown
}

/**
 * What makes a running operation cancellable; made when a driver first asks for it, since most jobs never need it.
 * p-cancelable, made with the first request, guarantees one round of handlers for any number of requests, and
 * `shouldReject = false` leaves the outcome to the host. A refusal ends the round: the next request asks again.
 */
export class Cancellation {
  readonly #ended: () => Promise<unknown>
  #handlers: Set<CancelHandler> | undefined
  #controller: AbortController | undefined
  #round: PCancelable<unknown> | undefined
  #request: CancelRequest | undefined
  /** Settles only if a handler refuses, however late. */
  #refusal: Promise<Refusal> | undefined
  #refuse: ((refusal: Refusal) => void) | undefined
  #isTaken = false
  #abortReason: unknown

  constructor(ended: () => Promise<unknown>) {
    this.#ended = ended
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      // Work that begins after the request must be aborted as well.
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  /** Whether anything listens to a request. */
  get isPossible(): boolean {
    return this.#controller !== undefined || (this.#handlers?.size ?? 0) > 0
  }

  /** The first request of this round, while it is asked and once it has been taken. */
  get request(): CancelRequest | undefined {
    return this.#request
  }

  /** Adds a handler until the returned function is called: an operation may be cancellable for a part of its life only. */
  add(handler: CancelHandler): () => void {
    const handlers = (this.#handlers ??= new Set())
    handlers.add(handler)
    // A request that was taken before goes to this handler as well.
    if (this.#isTaken) void this.#consult(handler)
    return () => void handlers.delete(handler)
  }

  /** Passes the request to the handlers; the promise settles only if one refuses. A later request joins one under way. */
  ask(request: CancelRequest): Promise<Refusal> {
    this.#request ??= request
    this.#refusal ??= new Promise((resolve) => {
      this.#refuse = resolve
    })
    const refusal = this.#refusal
    this.#round ??= this.#begin()
    this.#round.cancel()
    return refusal
  }

  /** Another client asked the host to stop it, and the host took the request. */
  note(request: CancelRequest): void {
    this.#request ??= request
  }

  /** Aborts the signal: nobody waits for the work any more. */
  abort(reason: string): void {
    this.#abortReason ??= new DOMException(reason, 'AbortError')
    this.#controller?.abort(this.#abortReason)
  }

  #begin(): PCancelable<unknown> {
    return new PCancelable((resolve, _reject, onCancel) => {
      onCancel.shouldReject = false
      onCancel(() => void this.#consultAll())
      void this.#ended().then(resolve)
    })
  }

  async #consultAll(): Promise<void> {
    const reason = this.#request?.reason
    for (const handler of this.#handlers ?? []) {
      if (!(await this.#consult(handler))) return
    }
    this.#isTaken = true
    this.abort(reason ?? 'The job was cancelled')
  }

  /** Whether the handler takes the request; a refusal ends the round. */
  async #consult(handler: CancelHandler): Promise<boolean> {
    const refusal = await refusalOf(handler, this.#request?.reason)
    if (refusal === undefined) return true
    this.#refuse?.(refusal)
    this.#refusal = undefined
    this.#request = undefined
    this.#round = undefined
    this.#isTaken = false
    return false
  }
}

async function refusalOf(handler: CancelHandler, reason: string | undefined): Promise<Refusal | undefined> {
  try {
    return (await handler(reason)) === false ? {} : undefined
  } catch (cause) {
    return { cause }
  }
}
