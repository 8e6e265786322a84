import { err, ok, type Err, type Result } from 'neverthrow'
import { InvalidArgumentError } from '../errors.js'
import { backoffMs, withJitter } from '../driver/backoff.js'
import type { RetryOptions } from './batch-options.js'
import type { BatchItemError } from './batch-report.js'
import { isCancelled, located, wordsOf } from './item-error.js'

/** Decides which failed items are tried again, and when. */
export class RetryPolicy<E> {
  readonly #options: RetryOptions<E>

  constructor(options: RetryOptions<E> = { attempts: 1 }) {
    this.#options = options
  }

  /**
   * The pause before the next attempt, in milliseconds, or the final result of the item.
   *
   * @param attempts the number of attempts so far
   */
  pauseAfter(failure: Err<unknown, BatchItemError<E>>, attempts: number): Result<number, BatchItemError<E>> {
    const { attempts: most, backoff: { initialMs = 200, maxMs = 30_000, factor } = {}, when } = this.#options
    const { error } = failure
    if (attempts >= most || isCancelled(failure)) return err(error)
    const isWorthwhile = when === undefined ? isRetryable(error) : decided(when, error, attempts)
    if (isWorthwhile instanceof InvalidArgumentError) return err(isWorthwhile)
    return isWorthwhile ? ok(withJitter(backoffMs(attempts, { initialMs, maxMs, factor }))) : err(error)
  }
}

/** Errors of the user's own may be retryable, too. */
const isRetryable = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === true

/** What the user's function says; if it fails, the error that takes the place of the item's own, and names it. */
function decided<X>(
  when: (error: X, attempt: number) => unknown,
  error: X,
  attempts: number,
): boolean | InvalidArgumentError {
  const path = 'options.retry.when'
  const wrong = (problem: string, cause?: unknown): InvalidArgumentError => {
    const reason = `${path} ${problem}; the item had failed: ${wordsOf(error)}`
    return located(new InvalidArgumentError({ path, reason, cause }))
  }
  try {
    const answer = when(error, attempts)
    // A promise would count as true.
    return typeof answer === 'boolean' ? answer : wrong('must return true or false')
  } catch (cause) {
    return wrong(`threw: ${wordsOf(cause)}`, cause)
  }
}
