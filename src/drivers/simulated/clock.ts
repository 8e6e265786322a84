import { InvalidArgumentError } from '../../errors.js'

/** The time of a simulated host, as a test sees it. */
export interface SimulatedClock {
  /** Milliseconds since 1970, as `Date.now()` tells them. */
  readonly now: number
  /**
   * Lets so many milliseconds pass: what falls due is done in order, and what waits for that goes on before the next moment
   * comes. On a real clock it waits.
   */
  advance(ms: number): Promise<void>
  /** Goes to the next moment at which something is due, and does it; `false` where nothing is. On a real clock it waits for it. */
  next(): Promise<boolean>
}

/** The same, as the host uses it. */
export interface HostClock extends SimulatedClock {
  /** Milliseconds that only ever grow, with fractions where the clock has them. */
  readonly elapsedMs: number
  /** Does something later, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void
  /** Time does not go on before this has ended: it works on files, which takes no time of this clock. */
  whileBusy<T>(work: Promise<T>): Promise<T>
  /** Nobody is connected: no timer may be left. What falls due meanwhile is done when the clock is resumed. */
  suspend(): void
  resume(): void
}

/** The longest that Node's timers keep, about 24.8 days. */
export const maxDelayMs = 2 ** 31 - 1

/** Throws on what is no length of time. */
export function requireDuration(ms: unknown): asserts ms is number {
  if (typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER) return
  throw new InvalidArgumentError({
    path: 'ms',
    reason: `ms must be a number of milliseconds from 0, and is ${String(ms)}`,
  })
}
