import type { InvalidArgumentError, VmError } from '../errors.js'
import type { JobCore } from '../job/job-core.js'
import { Job, type JobRef } from '../job/job.js'
import type { BatchOutcome, BatchReport } from './batch-report.js'
import type { BatchRun } from './batch-run.js'
import { OutcomeReader } from './outcome-reader.js'

/** A batch under way: a job that ends with a {@link BatchReport}, even if items failed or it was cancelled. */
export class BatchJob<Item, T, E = VmError> extends Job<BatchReport<Item, T, E>, InvalidArgumentError> {
  readonly #run: BatchRun<Item, T, E> | undefined

  /** @internal */
  constructor(core: JobCore<BatchReport<Item, T, E>, InvalidArgumentError>, run: BatchRun<Item, T, E> | undefined) {
    super(core)
    this.#run = run
  }

  /** The jobs of the running items, if the function returns a job for each item. */
  get jobs(): readonly JobRef<T, Extract<E, VmError>>[] {
    return (this.#run?.jobs ?? []) as readonly JobRef<T, Extract<E, VmError>>[]
  }

  /**
   * Yields the outcomes as they come, for lists too long to hold: an outcome that is read here is not kept for the report.
   * A slow reader slows the batch down. If it leaves the loop, the rest goes to the report. Throws a `TypeError` if there is
   * another reader.
   */
  outcomes(): AsyncIterableIterator<BatchOutcome<Item, T, E>, undefined> & AsyncDisposable {
    if (this.#run === undefined) return OutcomeReader.empty()
    const reader = this.#run.read()
    if (reader === undefined) throw new TypeError('The outcomes of this batch are being read already')
    return reader
  }
}
