import { InvalidArgumentError } from '../../errors.js'

/** The clock of a simulated host, as a test uses it. */
export interface SimulatedClock {
  /** Milliseconds since 1970, as of `Date.now()`. */
  readonly now: number
  /**
   * Lets this many milliseconds pass. What falls due is done in order; code that waits for it runs before time goes on. On a real
   * clock it waits.
   *
   * @throws InvalidArgumentError if `ms` is not a number from 0
   */
  advance(ms: number): Promise<void>
  /** Moves time to the next moment at which something is due, and does it. `false` if nothing is due. On a real clock it waits. */
  next(): Promise<boolean>
}

/** The clock as the host uses it. */
export interface HostClock extends SimulatedClock {
  /** Milliseconds of a monotonic clock, with fractions if the clock has them. */
  readonly elapsedMs: number
  /** Calls `run` after this many milliseconds, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void
  /** Stops time until the work has ended. For work on files, which takes no time of this clock. */
  whileBusy<T>(work: Promise<T>): Promise<T>
  /** Leaves no timer behind, since nobody is connected. What falls due is done when the clock is resumed. */
  suspend(): void
  resume(): void
}

/** The longest delay of a timer of Node: about 24.8 days. */
export const maxDelayMs = 2 ** 31 - 1

/** Throws unless it is a length of time. */
export function requireDuration(ms: unknown): asserts ms is number {
  if (typeof ms === 'number' && ms >= 0 && ms <= Number.MAX_SAFE_INTEGER) return
  throw new InvalidArgumentError({
    path: 'ms',
    reason: `ms must be a number of milliseconds from 0, and is ${String(ms)}`,
  })
}
