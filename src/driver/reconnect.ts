import { backoffMs, pause, withJitter, type Backoff } from './backoff.js'

/** How to stay connected. */
export interface ReconnectOptions extends Partial<Backoff> {
  /** Aborting it ends the attempts. The driver ends the connection itself. */
  readonly signal: AbortSignal
  /** Called each time that the connection is lost, or could not be made: with the error, if there is one. */
  readonly onLost: (error: Error | undefined) => void
}

/**
 * Keeps a connection to a host: makes it, and makes it again whenever it is lost, until the signal is aborted. The pause before an
 * attempt is `initialMs` (1 s if absent), longer after each failure up to `maxMs` (60 s if absent), with jitter; once the connection
 * has worked, it is `initialMs` again. Never rejects.
 *
 * @param connect connects, calls `works` as soon as the host answers, and settles when the connection is lost
 *
 * @example
 * ```ts
 * import { stayConnected, type FollowedJobs } from 'awaitvm/driver'
 * import { OutcomeUnknownError } from 'awaitvm'
 *
 * interface Connection { readonly lost: Promise<void> }
 *
 * const follow = (open: () => Promise<Connection>, jobs: FollowedJobs, signal: AbortSignal): Promise<void> =>
 *   stayConnected(
 *     async (works) => {
 *       const { lost } = await open()
 *       works()
 *       jobs.regain()
 *       await lost
 *     },
 *     { signal, onLost: () => jobs.lose() },
 *   )
 * ```
 */
export async function stayConnected(
  connect: (works: () => void) => Promise<void>,
  { signal, onLost, initialMs = 1000, maxMs = 60_000, factor }: ReconnectOptions,
): Promise<void> {
  const isOver = (): boolean => signal.aborted
  let attempts = 0
  while (!isOver()) {
    attempts += 1
    const lost = await connect(() => {
      attempts = 0
    }).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    )
    if (isOver()) return
    onLost(lost)
    await pause(withJitter(backoffMs(Math.max(1, attempts), { initialMs, maxMs, factor })), signal)
  }
}
