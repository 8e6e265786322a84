import * as v from 'valibot'
import type { JobOptions } from '../job/job-options.js'
import type { Progress } from '../job/progress.js'
import { flag, object, optional, unchecked } from '../model/schema.js'
import type { VmError } from '../errors.js'
import type { BatchItemError, BatchOutcome, BatchRetry } from './batch-report.js'

/** When a failed item is tried again. */
export interface RetryOptions<E = VmError> {
  /** Most attempts for an item, the first included. */
  readonly attempts: number
  /**
   * Whether an item is tried again after this error; `attempt` is the number of the attempt that failed, from 1. If absent, errors
   * with `retryable: true` are tried again, errors of your own included. An item that was cancelled is never tried again. If the
   * function throws, or returns something else than true or false, the item ends with an `InvalidArgumentError` that tells so.
   */
  readonly when?: ((error: BatchItemError<E>, attempt: number) => boolean) | undefined
  /** How long to wait between attempts. */
  readonly backoff?: BackoffOptions | undefined
}

/** How long to wait before the next attempt: a random time from half of the delay to the whole, to spread the attempts. */
export interface BackoffOptions {
  /** The delay before the second attempt, in milliseconds; 200 if absent. */
  readonly initialMs?: number | undefined
  /** The longest delay, in milliseconds; 30,000 if absent. */
  readonly maxMs?: number | undefined
  /** The factor by which each delay is longer than the one before; 2 if absent. */
  readonly factor?: number | undefined
}

/** Options of {@link batch}. */
export interface BatchOptions<Item, T = unknown, E = VmError> extends Pick<JobOptions, 'signal' | 'onProgress'> {
  /** Most items at a time; 64 if absent. A server has a limit of its own, and lets the other operations wait in line. */
  readonly concurrency?: number | undefined
  /** Most items of one host at a time; no limit if absent. */
  readonly perHostConcurrency?: number | undefined
  /** Identifies the host of an item; if absent, the connection of a `Vm` or a `Server`. */
  readonly hostOf?: ((item: Item) => unknown) | undefined
  /** If true, no item is started after a failure; running items finish. */
  readonly stopOnError?: boolean | undefined
  /** If absent, each item is tried once. */
  readonly retry?: RetryOptions<E> | undefined
  /** Called with the outcome of each item as it comes, in the async context of the call; the report has it all the same. */
  readonly onOutcome?: ((outcome: BatchOutcome<Item, T, E>) => void) | undefined
  /** Called when an attempt failed and the item is going to be tried again, in the async context of the call. */
  readonly onRetry?: ((retry: BatchRetry<Item, E>) => void) | undefined
  /** Limits how many attempts begin in a time; no limit if absent. */
  readonly rateLimit?:
    | {
        /** The most attempts that begin in any interval of `intervalMs`. */
        readonly starts: number
        /** The length of the interval, in milliseconds. */
        readonly intervalMs: number
      }
    | undefined
  /** Items of higher priority go first; 0 if absent. */
  readonly priority?: ((item: Item) => number) | undefined
  /**
   * Milliseconds that the batch may take, at most 2147483647. Then it is cancelled. Items that don't stop within 30
   * seconds are reported with an `OutcomeUnknownError`.
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

/** A whole number, or Infinity for no limit. */
const limit = v.union(
  [whole(1), v.literal(Infinity)],
  'must be a whole number from 1, or Infinity',
) as v.GenericSchema<number>

export const batchSchema = object({
  concurrency: optional(limit),
  perHostConcurrency: optional(limit),
  hostOf: aFunction,
  stopOnError: flag,
  retry: optional(
    object({
      attempts: whole(1),
      when: aFunction,
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
  onOutcome: aFunction,
  onRetry: aFunction,
  timeoutMs: optional(milliseconds(0)),
  signal: unchecked<AbortSignal>(),
  onProgress: unchecked<(progress: Progress) => void>(),
})
