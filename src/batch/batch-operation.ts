import { inspect } from 'node:util'
import { err, type Result } from 'neverthrow'
import { InvalidArgumentError, VmError } from '../errors.js'
import type { JobCore } from '../job/job-core.js'
import { JobRef } from '../job/job.js'
import type { BatchItemError } from './batch-report.js'

/** What the function is told besides its item. */
export interface BatchContext {
  /** The item's place in the list, from 0. */
  readonly index: number
  /** 1 at the first attempt. */
  readonly attempt: number
  /** Aborted when the batch is cancelled: for a function that does more than begin one job. */
  readonly signal: AbortSignal
}

export class ItemContext implements BatchContext {
  readonly index: number
  readonly attempt: number
  readonly #signal: () => AbortSignal

  /** @param signal makes it when somebody looks at it: most items never do */
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
 * several things in turn.
 */
export type BatchOperation<Item, T, E extends VmError> = (
  item: Item,
  context: BatchContext,
) => JobRef<T, E> | PromiseLike<Result<T, E>>

/** One attempt at an item that has begun. */
export interface Attempt<T, E extends VmError> {
  /** The core of its job, where it is one job. */
  readonly job: JobRef<T, E> | undefined
  /** Never rejects. */
  readonly outcome: Promise<Result<T, BatchItemError<E>>>
}

export function attempt<Item, T, E extends VmError>(
  operation: BatchOperation<Item, T, E>,
  item: Item,
  context: BatchContext,
): Attempt<T, E> {
  try {
    const begun: unknown = operation(item, context)
    if (begun instanceof JobRef) {
      const job = begun as JobRef<T, E>
      return { job, outcome: coreOf(job).promise }
    }
    return { job: undefined, outcome: Promise.resolve(begun).then(resultOf<T, E>, thrown) }
  } catch (error) {
    return { job: undefined, outcome: Promise.resolve(thrown(error)) }
  }
}

export const coreOf = <T, E extends VmError>(job: JobRef<T, E>): JobCore<T, E> => JobRef.coreOf(job)

function resultOf<T, E extends VmError>(value: unknown): Result<T, E | InvalidArgumentError> {
  try {
    return checkedResult(value)
  } catch (error) {
    return thrown(error)
  }
}

function checkedResult<T, E extends VmError>(value: unknown): Result<T, E | InvalidArgumentError> {
  if (isResult<T, E>(value)) {
    if (value.isOk() || (value.error as unknown) instanceof VmError) return value
    return err(wrong('the function gave an error that is no VmError', undefined, value.error))
  }
  return err(
    wrong(
      'the function gave neither a job nor a Result',
      'Return the job itself, its ref, or ok() and err().',
      undefined,
    ),
  )
}

/** `unwrap` in an async function throws the item's own error. */
function thrown(error: unknown): Result<never, never> {
  const failure = error instanceof VmError ? error : wrong(`the function threw: ${wordsOf(error)}`, undefined, error)
  return err(failure as never)
}

/** What was thrown may be anything, also what can't become a string. */
export const wordsOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : typeof thrown === 'string' ? thrown : inspect(thrown)

/** By its methods: the user's neverthrow may be another copy. */
const isResult = <T, E>(value: unknown): value is Result<T, E> =>
  typeof value === 'object' && value !== null && 'isOk' in value && typeof value.isOk === 'function' && 'isErr' in value

function wrong(reason: string, hint: string | undefined, cause: unknown): InvalidArgumentError {
  const error = new InvalidArgumentError({ path: 'operation', reason, hint, cause })
  VmError.locate(error, 'batch', undefined)
  return error
}
