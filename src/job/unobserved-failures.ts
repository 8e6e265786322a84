import type { VmError } from '../errors.js'
import type { JobTarget, OperationCode } from '../operations.js'
import { inCallerContext } from './caller-context.js'
import { callSafely } from './call-safely.js'
import { jobId } from './diagnostics.js'

/** A job that failed and that nobody looked at. */
export interface UnobservedFailure {
  /** As `job.id`. */
  readonly id: string
  /** As `job.operation`. */
  readonly operation: OperationCode
  /** As `job.target`. */
  readonly target: JobTarget | undefined
  /** What the job failed with. */
  readonly error: VmError
}

interface FailedJob {
  readonly number: number
  readonly operation: OperationCode
  readonly target: JobTarget | undefined
}

/**
 * Finds the failures that nobody will ever look at: a job's handle was garbage collected without, or the server was
 * closed. Only then is it certain, since a handle may be awaited at any later time.
 */
export class UnobservedFailures {
  readonly #report: (failure: UnobservedFailure) => void
  readonly #failures = new Set<UnobservedFailure>()

  constructor(report: (failure: UnobservedFailure) => void) {
    this.#report = inCallerContext(report)
  }

  add(job: FailedJob, error: VmError): UnobservedFailure {
    const failure = { id: jobId(job.number), operation: job.operation, target: job.target, error }
    this.#failures.add(failure)
    collected.register(job, { owner: this, failure }, failure)
    return failure
  }

  delete(failure: UnobservedFailure): void {
    this.#failures.delete(failure)
    collected.unregister(failure)
  }

  /** Reports all that are left, when nothing more can be looked at. */
  flush(): void {
    for (const failure of this.#failures) this.tell(failure)
  }

  /** Reports a failure, unless that has been done; a listener that throws fails as an uncaught exception. */
  tell(failure: UnobservedFailure): void {
    if (!this.#failures.delete(failure)) return
    collected.unregister(failure)
    callSafely(() => this.#report(failure))
  }
}

/** One for all servers: a registry that is itself collected, with the server that has it, calls nobody. */
const collected = new FinalizationRegistry<{ readonly owner: UnobservedFailures; readonly failure: UnobservedFailure }>(
  ({ owner, failure }) => {
    owner.tell(failure)
  },
)
