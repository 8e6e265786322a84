import { inspect, types } from 'node:util'
import { err, type Result } from 'neverthrow'
import { InvalidArgumentError, VmError, type JobCancelledError } from '../errors.js'
import type { JobCore } from '../job/job-core.js'
import { JobRef } from '../job/job.js'
import { isResult } from '../result.js'
import type { BatchItemError } from './batch-report.js'

/** What the function is told besides its item. */
export interface BatchContext {
  /** The item's place in the list, from 0. */
  readonly index: number
  /** 1 at the first attempt. */
  readonly attempt: number
  /**
   * Aborted when the batch is cancelled, with the reason of the batch's own signal where that did it. A function that then fails
   * with this reason, or with an `AbortError`, was cancelled.
   */
  readonly signal: AbortSignal
}

/** What an attempt needs of its batch. */
export interface AttemptSource {
  /** Makes it when somebody looks at it: most items never do. */
  readonly signal: () => AbortSignal
  /** What an item has ended with that failed so, where that is how it obeyed the signal. */
  readonly cancelledBy: (error: unknown) => JobCancelledError | undefined
}

class ItemContext implements BatchContext {
  readonly index: number
  readonly attempt: number
  readonly #signal: () => AbortSignal

  constructor(index: number, attempt: number, signal: () => AbortSignal) {
    this.index = index
    this.attempt = attempt
    this.#signal = signal
  }

  get signal(): AbortSignal {
    return this.#signal()
  }
}

/**
 * What is to be done with an item. It gives the job that does it, or a promise of a Result: an `async` function may do
 * several things in turn, and fail with errors of its own.
 */
export type BatchOperation<Item, T, E> = (item: Item, context: BatchContext) => JobRef<T> | PromiseLike<Result<T, E>>

/** One attempt at an item that has begun. */
export interface Attempt<T, E> {
  /** Where the item is one job. */
  readonly job: JobRef<T> | undefined
  /** Never rejects. */
  readonly outcome: Promise<Result<T, BatchItemError<E>>>
}

export function attempt<Item, T, E>(
  operation: BatchOperation<Item, T, E>,
  { index, item, attempts }: { readonly index: number; readonly item: Item; readonly attempts: number },
  { signal, cancelledBy }: AttemptSource,
): Attempt<T, E> {
  const ended = (result: Result<T, unknown>): Result<T, BatchItemError<E>> => {
    const cancelled = result.isErr() ? cancelledBy(result.error) : undefined
    return cancelled === undefined ? (result as Result<T, BatchItemError<E>>) : err(cancelled)
  }
  try {
    const begun = operation(item, new ItemContext(index, attempts, signal))
    if (begun instanceof JobRef) {
      return { job: begun, outcome: coreOf(begun).promise as Promise<Result<T, BatchItemError<E>>> }
    }
    const outcome = Promise.resolve<unknown>(begun).then(
      (value) => ended(resultOf<T>(value)),
      (error: unknown) => ended(err(rejection(error))),
    )
    return { job: undefined, outcome }
  } catch (error) {
    return { job: undefined, outcome: Promise.resolve(ended(err(cancelledBy(error) ?? thrown(error)))) }
  }
}

export const coreOf = <T>(job: JobRef<T>): JobCore<T, VmError> => JobRef.coreOf(job)

function resultOf<T>(value: unknown): Result<T, unknown> {
  try {
    // One that only looks like a Result throws here.
    if (isResult<T>(value) && value.isOk() !== value.isErr()) return value
    const hint = 'Return the job itself, its ref, or ok() and err().'
    return err(wrong('the function gave neither a job nor a Result', hint, undefined))
  } catch (error) {
    return err(thrown(error))
  }
}

/** An error that the function rejects with is the item's own; anything else that was thrown has no message to be told by. */
const rejection = (error: unknown): unknown => (isError(error) ? error : thrown(error))

/**
 * The type of a function that gives a job is closed: what it throws before is told as the cause of an error that the type has.
 */
const thrown = (error: unknown): InvalidArgumentError =>
  wrong(
    `the function threw: ${wordsOf(error)}`,
    'Throw errors in an async function: there they are the own of the item.',
    error,
  )

/** Also one of another realm. */
const isError = (value: unknown): value is Error => value instanceof Error || types.isNativeError(value)

/** What was thrown may be anything, also what can't become a string. */
export const wordsOf = (thrown: unknown): string =>
  isError(thrown) ? thrown.message : typeof thrown === 'string' ? thrown : inspect(thrown)

function wrong(reason: string, hint: string | undefined, cause: unknown): InvalidArgumentError {
  const error = new InvalidArgumentError({ path: 'operation', reason, hint, cause })
  VmError.locate(error, 'batch', undefined)
  return error
}
