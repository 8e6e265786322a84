import { inspect } from 'node:util'
import type { Err, Ok, Result } from 'neverthrow'
import { VmError, type InvalidArgumentError, type JobCancelledError, type OutcomeUnknownError } from '../errors.js'
import type { ItemCounts } from '../job/progress.js'

/**
 * What an item may end with, besides the errors of its own: `JobCancelledError` where it was stopped, or never started,
 * `InvalidArgumentError` where the function threw before it gave a job, or gave neither a job nor a Result, and
 * `OutcomeUnknownError` where the batch ran out of time and the item could not be stopped.
 */
export type BatchItemError<E> = E | JobCancelledError | InvalidArgumentError | OutcomeUnknownError

/**
 * What an `async` function of a batch may fail with: the errors of the Results that it returns, and whatever it throws, which
 * no type tells: what `unwrap` throws is a {@link VmError}. Look with `instanceof` before a `switch` over `code`.
 */
export type BatchFunctionError<E> = E | VmError | Error

/** What became of one item. */
export interface BatchOutcome<Item, T, E> {
  /** Its place in the list, from 0. */
  readonly index: number
  readonly item: Item
  /** The id of its last job; absent where there was none. */
  readonly jobId: string | undefined
  readonly result: Result<T, BatchItemError<E>>
  /** How often it was tried; 0 where it was never started. */
  readonly attempts: number
}

export interface BatchSuccess<Item, T, E> extends BatchOutcome<Item, T, E> {
  readonly result: Ok<T, BatchItemError<E>>
}

export interface BatchFailure<Item, T, E> extends BatchOutcome<Item, T, E> {
  readonly result: Err<T, BatchItemError<E>>
}

/** Why a batch did not go through its list. */
export interface BatchStop {
  /**
   * `'caller'`: `cancel` was called; `'signal'`: its signal was aborted; `'timeout'`: its `timeoutMs` ran out; `'error'`: an item
   * failed, and `stopOnError` is set; `'items'`: the list itself could not be read any further.
   */
  readonly by: 'caller' | 'signal' | 'timeout' | 'error' | 'items'
  readonly reason: string
  /** The reason of the signal, the error of the item, or that of the list. */
  readonly cause?: unknown
}

/** What became of all items of a batch. */
export class BatchReport<Item, T, E> {
  /** In the order of the list; without those that a reader of `outcomes()` has taken. */
  readonly outcomes: readonly BatchOutcome<Item, T, E>[]
  /** Of all items, also of those that a reader has taken. */
  readonly counts: ItemCounts
  /** Absent where the batch went through the whole list. */
  readonly stopped: BatchStop | undefined

  /** @internal */
  constructor(outcomes: readonly BatchOutcome<Item, T, E>[], counts: ItemCounts, stopped: BatchStop | undefined) {
    this.outcomes = outcomes
    this.counts = counts
    this.stopped = stopped
  }

  /** Whether the whole list was gone through, and every item succeeded. */
  get isSuccess(): boolean {
    return this.stopped === undefined && this.counts.failed === 0 && this.counts.cancelled === 0
  }

  get succeeded(): BatchSuccess<Item, T, E>[] {
    return this.outcomes.filter((outcome): outcome is BatchSuccess<Item, T, E> => outcome.result.isOk())
  }

  /** Those that ended with an error, other than that they were cancelled. */
  get failed(): BatchFailure<Item, T, E>[] {
    return this.outcomes.filter(
      (outcome): outcome is BatchFailure<Item, T, E> => outcome.result.isErr() && !isCancelled(outcome.result),
    )
  }

  /** Those that were stopped, or never started. */
  get cancelled(): BatchFailure<Item, T, E>[] {
    return this.outcomes.filter((outcome): outcome is BatchFailure<Item, T, E> => isCancelled(outcome.result))
  }

  [inspect.custom](): string {
    return this.toString()
  }

  /** The counts, for people: `BatchReport: 3 succeeded, 1 failed, 0 cancelled`. */
  toString(): string {
    const { succeeded, failed, cancelled } = this.counts
    const why = this.stopped === undefined ? '' : `, stopped: ${this.stopped.reason}`
    return `BatchReport: ${String(succeeded)} succeeded, ${String(failed)} failed, ${String(cancelled)} cancelled${why}`
  }

  /** The counts, why it was stopped, and each failure: what a log wants to know. */
  toJSON(): Record<string, unknown> {
    const failures = this.failed.map(({ index, item, jobId, attempts, result: { error } }) => ({
      index,
      item,
      jobId,
      attempts,
      error: written(error),
    }))
    const { isSuccess, counts, stopped } = this
    return {
      isSuccess,
      counts,
      ...(stopped !== undefined && { stopped: { by: stopped.by, reason: stopped.reason } }),
      failures,
    }
  }
}

export const isCancelled = (result: Result<unknown, unknown>): boolean =>
  result.isErr() && result.error instanceof VmError && result.error.code === 'JOB_CANCELLED'

/** `JSON.stringify` leaves nothing of an error that has no `toJSON`. */
const written = (error: unknown): unknown =>
  error instanceof Error && !('toJSON' in error)
    ? { name: error.name, message: error.message, ...('code' in error && { code: error.code }) }
    : error
