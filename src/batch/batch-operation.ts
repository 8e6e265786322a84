import { err, type Result } from 'neverthrow'
import { InvalidArgumentError, type JobCancelledError, type VmError } from '../errors.js'
import type { JobCore } from '../job/job-core.js'
import { JobRef } from '../job/job.js'
import { isResult } from '../result.js'
import type { BatchFunctionError, BatchItemError } from './batch-report.js'
import { isError, located, wordsOf } from './item-error.js'

/** What the function gets besides its item. */
export interface BatchContext {
  /** The item's place in the list, from 0. */
  readonly index: number
  /** 1 at the first attempt. */
  readonly attempt: number
  /**
   * Aborted when the batch is cancelled; if the batch's own signal cancelled it, with the reason of that signal. If the function
   * then fails with this reason or with an `AbortError`, its item counts as cancelled.
   */
  readonly signal: AbortSignal
}

/** What an attempt needs from its batch. */
export interface AttemptSource {
  /** Created on first use: most functions never read it. */
  readonly signal: () => AbortSignal
  /** The item's outcome if this error means that the function obeyed the signal. */
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
 * What is done with each item. It returns a job, or a promise of a Result: an `async` function can take
 * several steps, and fail with errors of its own.
 */
export type BatchOperation<Item, T, E> = (item: Item, context: BatchContext) => JobRef<T> | PromiseLike<Result<T, E>>

/** The value of what a function of a batch returns. */
export type BatchValue<R> =
  R extends JobRef<infer T, infer _>
    ? T
    : R extends PromiseLike<infer A>
      ? A extends Result<infer T, infer _>
        ? T
        : never
      : never

/** The errors of what a function of a batch returns: those of its job, or those that an `async` function may end with. */
export type BatchError<R> =
  R extends JobRef<infer _, infer E>
    ? E
    : R extends PromiseLike<infer A>
      ? BatchFunctionError<A extends Result<infer _, infer E> ? E : never>
      : never

/** One started attempt at an item. */
export interface Attempt<T, E> {
  /** Undefined for an `async` function. */
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
    // An object that only looks like a Result throws here.
    if (isResult<T>(value) && value.isOk() !== value.isErr()) return value
    const hint = 'Return the job itself, its ref, or ok() and err().'
    return err(wrong('the function returned neither a job nor a Result', hint, undefined))
  } catch (error) {
    return err(thrown(error))
  }
}

/** An error that the function rejects with is the item's error; any other value is wrapped, since it has no message. */
const rejection = (error: unknown): unknown => (isError(error) ? error : thrown(error))

/**
 * A function that returns a job has a closed union of errors: what it throws becomes the cause of an error of that union.
 */
const thrown = (error: unknown): InvalidArgumentError =>
  wrong(
    `the function threw: ${wordsOf(error)}`,
    'Throw in an async function: there the error becomes that of the item.',
    error,
  )

const wrong = (reason: string, hint: string | undefined, cause: unknown): InvalidArgumentError =>
  located(new InvalidArgumentError({ path: 'operation', reason, hint, cause }))
