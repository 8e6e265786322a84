import type { Result } from 'neverthrow'
import { VmError } from '../errors.js'
import type { BatchItemError, BatchOutcome } from './batch-report.js'
import { isCancelled } from './item-error.js'
import { OutcomeReader } from './outcome-reader.js'

/** The outcomes so far: each goes to the reader, or is kept for the report if there is none. */
export class BatchTally<Item, T, E> {
  succeeded = 0
  failed = 0
  cancelled = 0
  /** The first `VmError`, for `onUnobservedFailure`. */
  firstError: VmError | undefined
  #kept: BatchOutcome<Item, T, E>[] = []
  /** The outcomes of the report, once it is made; a reader that leaves later adds to them. */
  #reported: BatchOutcome<Item, T, E>[] | undefined
  #reader: OutcomeReader<BatchOutcome<Item, T, E>> | undefined

  get done(): number {
    return this.succeeded + this.failed + this.cancelled
  }

  /** The number of outcomes that the reader has not read yet. */
  get backlog(): number {
    return this.#reader?.backlog ?? 0
  }

  /** The outcomes that no reader has read, in the order of the list; a reader that leaves later adds its unread ones. */
  report(): readonly BatchOutcome<Item, T, E>[] {
    this.#reported ??= Object.values(this.#kept)
    return this.#reported
  }

  file(outcome: BatchOutcome<Item, T, E>): void {
    this.#count(outcome.result)
    if (this.#reader === undefined) this.#kept[outcome.index] = outcome
    else this.#reader.push(outcome)
  }

  /** Undefined if there is another reader. */
  read(onRead: () => void): OutcomeReader<BatchOutcome<Item, T, E>> | undefined {
    if (this.#reader !== undefined) return undefined
    const reported = this.#reported
    const first = reported === undefined ? Object.values(this.#kept) : [...reported]
    this.#kept = []
    this.#reader = new OutcomeReader(first, onRead, (unread) => {
      this.#reader = undefined
      // A reader that began after the report was made reads a copy: the report keeps all.
      if (reported === undefined) this.#putBack(unread)
      onRead()
    })
    return this.#reader
  }

  #putBack(unread: readonly BatchOutcome<Item, T, E>[]): void {
    if (this.#reported === undefined) for (const outcome of unread) this.#kept[outcome.index] = outcome
    else {
      for (const outcome of unread) this.#reported.push(outcome)
      this.#reported.sort((one, other) => one.index - other.index)
    }
  }

  end(): void {
    this.#reader?.end()
  }

  #count(result: Result<T, BatchItemError<E>>): void {
    if (result.isOk()) this.succeeded += 1
    else if (isCancelled(result)) this.cancelled += 1
    else {
      this.failed += 1
      if (result.error instanceof VmError) this.firstError ??= result.error
    }
  }
}
