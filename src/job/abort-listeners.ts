import type { CancelRequest } from './cancellation.js'

/**
 * The listeners of one signal. However many jobs share it, it gets one listener: `addEventListener` compares each new
 * listener with all that are there, and 100,000 would take half a minute.
 */
class AbortListeners {
  readonly #signal: AbortSignal
  readonly #listeners = new Set<() => void>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort)
  }

  add(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#end()
    }
  }

  readonly #onAbort = (): void => {
    this.#end()
    for (const listener of this.#listeners) listener()
  }

  #end(): void {
    this.#signal.removeEventListener('abort', this.#onAbort)
    listenersOf.delete(this.#signal)
  }
}

const listenersOf = new WeakMap<AbortSignal, AbortListeners>()

/** Why a signal stops something: the message of its reason if that says more than that it was aborted, and the reason itself. */
export function abortRequest(signal: AbortSignal): CancelRequest {
  const cause: unknown = signal.reason
  const words =
    typeof cause === 'string' ? cause : cause instanceof Error && cause.name !== 'AbortError' ? cause.message : ''
  return { by: 'signal', reason: `its signal was aborted${words === '' ? '' : `: ${words}`}`, cause }
}

/** Calls the listener when the signal is aborted, until the returned function is called. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = listenersOf.get(signal)
  if (listeners === undefined) {
    listeners = new AbortListeners(signal)
    listenersOf.set(signal, listeners)
  }
  return listeners.add(listener)
}
