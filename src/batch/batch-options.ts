import * as v from 'valibot'
import type { JobOptions } from '../job/job-options.js'
import type { Progress } from '../job/progress.js'
import { object, optional, unchecked } from '../model/schema.js'

/** When an item that failed is tried again. */
export interface RetryOptions {
  /**
   * How often an item is tried at the most, the first time included. Only errors whose `retryable` is `true` are tried again, those
   * of yours included.
   */
  readonly attempts: number
  readonly backoff?: BackoffOptions | undefined
}

/** How long to wait before the next attempt: at random from half of the delay to the whole, so that not all come back at once. */
export interface BackoffOptions {
  /** The delay before the second attempt, in milliseconds; 200 if absent. */
  readonly initialMs?: number | undefined
  /** The longest delay, in milliseconds; 30,000 if absent. */
  readonly maxMs?: number | undefined
  /** What each further delay is multiplied by; 2 if absent. */
  readonly factor?: number | undefined
}

export interface BatchOptions<Item> extends Pick<JobOptions, 'signal' | 'onProgress'> {
  /** How many items at once; 64 if absent. What a server takes at once is its own matter: it lets the rest wait in line. */
  readonly concurrency?: number | undefined
  /** How many items of one host at once; without limit if absent. */
  readonly perHostConcurrency?: number | undefined
  /** What tells the hosts of items apart; if absent, the connection of an item that is a `Vm` or a `Server`. */
  readonly hostOf?: ((item: Item) => unknown) | undefined
  /** Whether a failed item is the last that was started; those that run go on to their end. */
  readonly stopOnError?: boolean | undefined
  /** If absent, each item is tried once. */
  readonly retry?: RetryOptions | undefined
  /** At most so many attempts are begun in any stretch of time of this length. */
  readonly rateLimit?: { readonly starts: number; readonly intervalMs: number } | undefined
  /** Items of a higher priority go first; 0 if absent. */
  readonly priority?: ((item: Item) => number) | undefined
  /**
   * Milliseconds that the batch may take, at most 2147483647. Then it is cancelled; items that can't be stopped within 30
   * seconds are in the report with an `OutcomeUnknownError`.
   */
  readonly timeoutMs?: number | undefined
}

const aFunction = optional(v.function('must be a function'))
const atLeast = (minimum: number): v.GenericSchema<number> => {
  const message = `must be a number from ${String(minimum)}`
  return v.pipe(v.number(message), v.minValue(minimum, message))
}
const whole = (minimum: number): v.GenericSchema<number> => {
  const message = `must be a whole number from ${String(minimum)}`
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(minimum, message))
}
const maxTimerMs = 2 ** 31 - 1
const milliseconds = (minimum: number): v.GenericSchema<number> => {
  const message = `must be a number of milliseconds from ${String(minimum)} to ${String(maxTimerMs)}`
  return v.pipe(v.number(message), v.minValue(minimum, message), v.maxValue(maxTimerMs, message))
}

/** A limit is a whole number, or Infinity for none. */
const limit = v.union(
  [whole(1), v.literal(Infinity)],
  'must be a whole number from 1, or Infinity',
) as v.GenericSchema<number>

export const batchSchema = object({
  concurrency: optional(limit),
  perHostConcurrency: optional(limit),
  hostOf: aFunction,
  stopOnError: optional(v.boolean('must be true or false')),
  retry: optional(
    object({
      attempts: whole(1),
      backoff: optional(
        object({
          initialMs: optional(milliseconds(0)),
          maxMs: optional(milliseconds(0)),
          factor: optional(atLeast(1)),
        }),
      ),
    }),
  ),
  rateLimit: optional(object({ starts: whole(1), intervalMs: milliseconds(1) })),
  priority: aFunction,
  timeoutMs: optional(milliseconds(0)),
  signal: unchecked<AbortSignal>(),
  onProgress: unchecked<(progress: Progress) => void>(),
})
