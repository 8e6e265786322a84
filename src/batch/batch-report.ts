import { inspect } from 'node:util'
import type { Err, Ok, Result } from 'neverthrow'
import type { InvalidArgumentError, JobCancelledError, OutcomeUnknownError, VmError } from '../errors.js'
import type { ItemCounts } from '../job/progress.js'
import { rowOf, type BatchRow } from './batch-row.js'
import { isCancelled } from './item-error.js'

/**
 * The errors that an item may end with besides its own: `JobCancelledError` if it was stopped or never started,
 * `InvalidArgumentError` if the function threw instead of returning a job, or returned neither a job nor a Result, and
 * `OutcomeUnknownError` if the batch ran out of time and the item could not be stopped.
 */
export type BatchItemError<E> = E | JobCancelledError | InvalidArgumentError | OutcomeUnknownError

/**
 * The errors of an `async` function of a batch: those of the Results that it returns, and those that it throws, which no type
 * describes; `unwrap` throws a {@link VmError}. Check with `instanceof` before a `switch` over `code`.
 */
export type BatchFunctionError<E> = E | VmError | Error

/** The outcome of one item. */
export interface BatchOutcome<Item, T, E> {
  /** Its place in the list, from 0. */
  readonly index: number
  /** The item, as the list has it. */
  readonly item: Item
  /** The id of its last job; undefined if it had none. */
  readonly jobId: string | undefined
  /** The result of the last attempt. */
  readonly result: Result<T, BatchItemError<E>>
  /** The number of attempts; 0 if it was never started. */
  readonly attempts: number
}

/** An attempt that failed, and after which the item is tried again. */
export interface BatchRetry<Item, E> {
  /** Its place in the list, from 0. */
  readonly index: number
  /** The item, as the list has it. */
  readonly item: Item
  /** The id of the job that failed; undefined if the function returned no job. */
  readonly jobId: string | undefined
  /** Why the attempt failed. */
  readonly error: BatchItemError<E>
  /** The number of attempts so far. */
  readonly attempts: number
  /** Milliseconds until the item stands in line again. */
  readonly pauseMs: number
}

/** The outcome of an item that succeeded. */
export interface BatchSuccess<Item, T, E> extends BatchOutcome<Item, T, E> {
  /** The value. */
  readonly result: Ok<T, BatchItemError<E>>
}

/** The outcome of an item that failed or was cancelled. */
export interface BatchFailure<Item, T, E> extends BatchOutcome<Item, T, E> {
  /** The error. */
  readonly result: Err<T, BatchItemError<E>>
}

/** Why a batch ended before the end of its list. */
export interface BatchStop {
  /**
   * `'caller'`: `cancel` was called; `'signal'`: its signal was aborted; `'timeout'`: its `timeoutMs` ran out; `'error'`: an item
   * failed, and `stopOnError` is set; `'items'`: the list itself failed.
   */
  readonly by: 'caller' | 'signal' | 'timeout' | 'error' | 'items'
  /** The reason, for people. */
  readonly reason: string
  /** The reason of the signal, the error of the item, or that of the list. */
  readonly cause?: unknown
}

/** The outcomes of all items of a batch. */
export class BatchReport<Item, T, E> {
  /** The outcomes in the order of the list, without those that a reader of `outcomes()` has read. */
  readonly outcomes: readonly BatchOutcome<Item, T, E>[]
  /** Counts over all items, including those that a reader has read. */
  readonly counts: ItemCounts
  /** Why the batch ended early; undefined if it went through the whole list. */
  readonly stopped: BatchStop | undefined

  /** @internal */
  constructor(outcomes: readonly BatchOutcome<Item, T, E>[], counts: ItemCounts, stopped: BatchStop | undefined) {
    this.outcomes = outcomes
    this.counts = counts
    this.stopped = stopped
  }

  /** True if the batch went through the whole list and every item succeeded. */
  get isSuccess(): boolean {
    return this.stopped === undefined && this.counts.failed === 0 && this.counts.cancelled === 0
  }

  /** The items that succeeded. */
  get succeeded(): BatchSuccess<Item, T, E>[] {
    return this.outcomes.filter((outcome): outcome is BatchSuccess<Item, T, E> => outcome.result.isOk())
  }

  /** The items that ended with an error other than `JOB_CANCELLED`. */
  get failed(): BatchFailure<Item, T, E>[] {
    return this.outcomes.filter(
      (outcome): outcome is BatchFailure<Item, T, E> => outcome.result.isErr() && !isCancelled(outcome.result),
    )
  }

  /** The items that were stopped or never started. */
  get cancelled(): BatchFailure<Item, T, E>[] {
    return this.outcomes.filter((outcome): outcome is BatchFailure<Item, T, E> => isCancelled(outcome.result))
  }

  /**
   * A plain row for each outcome, in the order of the list, for `console.table` or a CSV file: texts and numbers, with the same
   * columns in each.
   */
  toRows(): BatchRow[] {
    return this.outcomes.map(rowOf)
  }

  /** @internal */
  [inspect.custom](): string {
    return this.toString()
  }

  /** The counts as a text: `BatchReport: 3 succeeded, 1 failed, 0 cancelled`. */
  toString(): string {
    const { succeeded, failed, cancelled } = this.counts
    const why = this.stopped === undefined ? '' : `, stopped: ${this.stopped.reason}`
    return `BatchReport: ${String(succeeded)} succeeded, ${String(failed)} failed, ${String(cancelled)} cancelled${why}`
  }

  /** The counts, the reason for an early end, each failure, and the items that were stopped or never started, for a log. */
  toJSON(): Record<string, unknown> {
    const failures = this.failed.map(({ index, item, jobId, attempts, result: { error } }) => ({
      index,
      item,
      jobId,
      attempts,
      error: written(error),
    }))
    const cancelled = this.cancelled.filter(({ attempts }) => attempts > 0)
    const neverStarted = this.cancelled.filter(({ attempts }) => attempts === 0)
    const { isSuccess, counts, stopped } = this
    return {
      isSuccess,
      counts,
      ...(stopped !== undefined && { stopped: { by: stopped.by, reason: stopped.reason } }),
      failures,
      cancelled: cancelled.map(({ index, item, jobId, attempts }) => ({ index, item, jobId, attempts })),
      neverStarted: neverStarted.map(({ index, item }) => ({ index, item })),
    }
  }
}

/** `JSON.stringify` writes an error without `toJSON` as `{}`. */
const written = (error: unknown): unknown =>
  error instanceof Error && !('toJSON' in error)
    ? { name: error.name, message: error.message, ...('code' in error && { code: error.code }) }
    : error
