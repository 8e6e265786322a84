import { inspect } from 'node:util'
import type { Task } from '../driver/task.js'
import { abortedError, cancelledUnasked } from '../errors/cancelled.js'
import { closedBeforeAnswer, closedBeforeSending, lostBeforeAnswer } from '../errors/closed.js'
import { HostError, VmError } from '../errors.js'
import { operations, type JobTarget, type OperationCode, type OperationSpec } from '../operations.js'
import type { OperationErrors } from '../operation-errors.js'
import { JobCore } from './job-core.js'
import { applyOptions, type JobOptions } from './job-options.js'
import { JobTask } from './job-task.js'
import { Job } from './job.js'
import { Limiter } from './limiter.js'
import type { UnobservedFailures } from './unobserved-failures.js'

type AnyCore = JobCore<unknown, VmError>

/** A call of an operation, before it becomes a job. */
export interface Call<O extends OperationCode, T> {
  readonly operation: O
  readonly target: JobTarget | undefined
  readonly options: JobOptions | undefined
  /** Its default time limit does not apply: it was begun elsewhere, or its steps have limits of their own. */
  readonly hasNoDefaultLimit?: boolean | undefined
  readonly work: (task: Task) => Promise<T>
}

/** Turns calls into jobs, as many at once as the host takes. */
export class JobRunner {
  readonly #driver: string
  readonly #limiter: Limiter
  readonly #failures: UnobservedFailures | undefined
  readonly #active = new Set<AnyCore>()
  #isClosed = false

  /** @param driver the name in the `native` of errors that are not `VmError`s */
  constructor(driver: string, limit: number, failures: UnobservedFailures | undefined) {
    this.#driver = driver
    this.#limiter = new Limiter(limit)
    this.#failures = failures
  }

  /** The jobs that have not ended. */
  get active(): readonly AnyCore[] {
    return [...this.#active].filter((core) => !core.isSettled)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** A job in line for the host. */
  run<O extends OperationCode, T>(call: Call<O, T>): Job<T, OperationErrors<O>> {
    const core = this.#admit(call)
    if (core.isSettled) return new Job(core) as Job<T, OperationErrors<O>>
    const leave = this.#limiter.enter(() => {
      core.begin()
      const release = (): void => {
        this.#limiter.leave()
      }
      this.#follow(core, call.work).then(release, release)
    })
    if (leave !== undefined) {
      core.queue(() => {
        leave()
        this.#active.delete(core)
      })
    }
    return new Job(core) as Job<T, OperationErrors<O>>
  }

  /** A job that takes no place in line: it only waits, or is made of other jobs. */
  runAside<O extends OperationCode, T>(call: Call<O, T>): Job<T, OperationErrors<O>> {
    const core = this.#admit(call)
    if (!core.isSettled) void this.#follow(core, call.work)
    return new Job(core) as Job<T, OperationErrors<O>>
  }

  /** A job that has already failed: the host is not asked. */
  refuse<O extends OperationCode>(
    operation: O,
    target: JobTarget | undefined,
    error: VmError,
  ): Job<never, OperationErrors<O>> {
    const core = new JobCore<never, VmError>(operation, target, this.#failures)
    core.fail(error)
    return new Job(core) as Job<never, OperationErrors<O>>
  }

  /** Takes no more calls, ends those in line, lets `end` stop the others, and waits for them. */
  async close(end: () => Promise<void>): Promise<void> {
    this.#isClosed = true
    for (const core of this.#active) if (core.isQueued) core.abandon(closedBeforeSending())
    try {
      await end()
    } finally {
      for (const core of this.#active) core.abandon(core.mayTakePlace ? closedBeforeAnswer() : closedBeforeSending())
      this.#active.clear()
    }
  }

  /** The error as the operation's type allows it. */
  explain<O extends OperationCode>(error: unknown, operation: O): OperationErrors<O> {
    return declared(error, operation, this.#driver) as OperationErrors<O>
  }

  #admit<O extends OperationCode, T>(call: Call<O, T>): AnyCore {
    const core: AnyCore = new JobCore(call.operation, call.target, this.#failures)
    if (this.#isClosed) core.fail(closedBeforeSending())
    else {
      const spec: OperationSpec = operations[call.operation]
      const timeoutMs = call.hasNoDefaultLimit === true ? undefined : spec.timeoutMs
      // Only absent options have defaults: null and other wrong ones are refused.
      const { options = timeoutMs === undefined ? undefined : {} } = call
      const refusal = options === undefined ? undefined : applyOptions(core, options, timeoutMs)
      if (refusal !== undefined) core.fail(refusal)
      else this.#active.add(core)
    }
    return core
  }

  #follow(core: AnyCore, work: (task: Task) => Promise<unknown>): Promise<void> {
    return work(new JobTask(core)).then(
      (value) => {
        this.#active.delete(core)
        core.succeed(value)
      },
      (error: unknown) => {
        this.#active.delete(core)
        core.fail(this.#failureOf(core, error))
      },
    )
  }

  /**
   * The error that the job ends with: "cancelled" counts only if that was asked for, and "no connection" only if nothing was sent.
   */
  #failureOf(core: AnyCore, error: unknown): VmError {
    const failure = this.explain(error, core.operation)
    const isUnasked = failure.code === 'JOB_CANCELLED' && !core.isAskedToStop
    if (isUnasked && !this.#isClosed) return cancelledUnasked(this.#driver, failure)
    const told = isUnasked ? closedBeforeSending(failure) : failure
    return told.code === 'CONNECTION_FAILED' && core.wasSent ? lostBeforeAnswer(told) : told
  }
}

/** The error, if the operation's type allows it; any other one becomes the cause of a `HostError`. */
function declared(thrown: unknown, operation: OperationCode, driver: string): VmError {
  const error = abortedError(thrown) ?? thrown
  if (error instanceof VmError) {
    const { errors }: { readonly errors: readonly string[] } = operations[operation]
    if (errors.includes(error.code)) {
      // A driver may end several operations with one error: each job names its own.
      return error.operation === undefined ? error : VmError.copy(error)
    }
    const { code, reason, hint } = error
    return new HostError({ reason, hint, cause: error, native: error.native ?? { driver, code, message: reason } })
  }
  const message = error instanceof Error ? error.message || error.name : inspect(error)
  return new HostError({ reason: message, cause: error, native: { driver, ...codeOf(error), message } })
}

/** Node's own errors have one: `'ENOSPC'`. */
function codeOf(error: unknown): { readonly code?: string | number } {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' || typeof code === 'number' ? { code } : {}
}
