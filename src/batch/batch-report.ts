import type { Err, Ok, Result } from 'neverthrow'
import type { InvalidArgumentError, JobCancelledError, OutcomeUnknownError, VmError } from '../errors.js'
import type { ItemCounts } from '../job/progress.js'

/**
 * What an item may end with, besides the errors of its own: `JobCancelledError` where it was never started,
 * `InvalidArgumentError` where the function threw, or gave neither a job nor a Result, and `OutcomeUnknownError` where the
 * batch ran out of time and the item could not be stopped.
 */
export type BatchItemError<E extends VmError> = E | JobCancelledError | InvalidArgumentError | OutcomeUnknownError

/** What became of one item. */
export interface BatchOutcome<Item, T, E extends VmError> {
  /** Its place in the list, from 0. */
  readonly index: number
  readonly item: Item
  /** The id of its last job; absent where there was none. */
  readonly jobId: string | undefined
  readonly result: Result<T, BatchItemError<E>>
  /** How often it was tried; 0 where it was never started. */
  readonly attempts: number
}

export interface BatchSuccess<Item, T, E extends VmError> extends BatchOutcome<Item, T, E> {
  readonly result: Ok<T, BatchItemError<E>>
}

export interface BatchFailure<Item, T, E extends VmError> extends BatchOutcome<Item, T, E> {
  readonly result: Err<T, BatchItemError<E>>
}

/** Why a batch did not go through its list. */
export interface BatchStop {
  /**
   * `'caller'`: `cancel` was called; `'signal'`: its signal was aborted; `'timeout'`: its `timeoutMs` ran out; `'error'`: an item
   * failed, and `stopOnError` is set; `'items'`: the list itself could not be read any further, see `cause`.
   */
  readonly by: 'caller' | 'signal' | 'timeout' | 'error' | 'items'
  readonly reason: string
  readonly cause?: unknown
}

/** What became of all items of a batch. */
export class BatchReport<Item, T, E extends VmError> {
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

  /** The counts, why it was stopped, and each failure: what a log wants to know. */
  toJSON(): Record<string, unknown> {
    const failures = this.failed.map(({ index, item, jobId, attempts, result: { error } }) => ({
      index,
      item,
      jobId,
      attempts,
      error,
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

export const isCancelled = (result: Result<unknown, VmError>): boolean =>
  result.isErr() && result.error.code === 'JOB_CANCELLED'
