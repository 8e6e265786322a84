import { backoffMs, pause, type Backoff } from './backoff.js'

/** How to poll. */
export interface PollOptions extends Backoff {
  /** Aborting it ends the polling with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Aborting it ends the present pause; from then on, each pause is `initialMs` long. */
  readonly hurry?: AbortSignal | undefined
}

/**
 * Asks again and again, until there is an answer.
 *
 * @param ask answers `undefined` to be asked again. It is given the milliseconds since the first question; to set a deadline, it
 *   throws an error that says what has not come in time.
 * @throws what `ask` throws, and the reason of the signal
 *
 * @example
 * ```ts
 * import { poll } from 'awaitvm/driver'
 * import { TimeoutError, type VmState } from 'awaitvm'
 *
 * const untilStopped = (look: () => Promise<VmState>, signal: AbortSignal): Promise<VmState> =>
 *   poll(
 *     async (waitedMs) => {
 *       const state = await look()
 *       if (state === 'stopped') return state
 *       if (waitedMs > 60_000) throw new TimeoutError({ reason: `it is still ${state}` })
 *       return undefined
 *     },
 *     { initialMs: 10, maxMs: 500, signal },
 *   )
 * ```
 */
export async function poll<T>(
  ask: (waitedMs: number) => T | undefined | Promise<T | undefined>,
  { signal, hurry, ...backoff }: PollOptions,
): Promise<T> {
  const began = performance.now()
  for (let attempts = 1; ; attempts += 1) {
    signal?.throwIfAborted()
    const answer = await ask(performance.now() - began)
    if (answer !== undefined) return answer
    const isHurried = hurry?.aborted === true
    await pause(backoffMs(isHurried ? 1 : attempts, backoff), signal, isHurried ? undefined : hurry)
  }
}
