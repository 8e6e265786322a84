import { inspect, type InspectOptions } from 'node:util'
import { err, ResultAsync, type Result } from 'neverthrow'
import {
  InvalidArgumentError,
  JobFinishedError,
  JobNotCancelableError,
  VmError,
  type WaitAbortedError,
  type WaitTimeoutError,
} from '../errors.js'
import type { JobTarget, OperationCode } from '../operations.js'
import { inCallerContext } from './caller-context.js'
import { jobId } from './diagnostics.js'
import { JobCore, type CancelVerdict, type JobStatus } from './job-core.js'
import { all, any, follow, type Grouping, race, settled as allSettled } from './job-group.js'
import { withOptions } from './job-options.js'
import type { Progress } from './progress.js'
import { progressIterator } from './progress-iterator.js'
import { waitFor } from './wait-for.js'

/** How long `job.wait()` waits; without limit if both are absent. */
export interface WaitOptions {
  /** How long to wait, in milliseconds, at most 2147483647. The job goes on. */
  readonly timeoutMs?: number | undefined
  /** Gives up waiting. The job goes on. */
  readonly signal?: AbortSignal | undefined
}

const waitOptionNames = ['timeoutMs', 'signal'] as const satisfies (keyof WaitOptions)[]

const byCaller = 'the caller cancelled it'

/** The type of a job's value. */
export type JobValue<J> = J extends JobRef<infer T, infer _E> ? T : never
/** The union of a job's errors. */
export type JobError<J> = J extends JobRef<infer _T, infer E> ? E : never

/**
 * A {@link Job} without `then`: the same handle, which `await` and `return` in async code leave alone.
 *
 * @example
 * ```ts
 * import { connect, type JobRef, type Vm } from 'awaitvm'
 *
 * const begin = async (vm: Vm): Promise<JobRef<void>> => vm.start().ref
 *
 * await using server = await connect('embedded:').unwrap()
 * const vm = await server.createVm({ name: 'web-1' }).unwrap()
 * const starting = await begin(vm)
 * console.log(starting.status)
 * await starting.wait()
 * ```
 */
export class JobRef<out T, out E extends VmError = VmError> implements AsyncIterable<Progress>, AsyncDisposable {
  readonly #core: JobCore<T, E>

  /** @internal */
  constructor(core: JobCore<T, E>) {
    this.#core = core
  }

  /** @internal */
  static coreOf<T, E extends VmError>(job: JobRef<T, E>): JobCore<T, E> {
    return job.#core
  }

  /** Unique in this process: `job-17`. */
  get id(): string {
    return jobId(this.#core.number)
  }

  /** Finds the job again from any process, by `server.attachJob(token)`; absent if the host does not keep the job. */
  get token(): string | undefined {
    return this.#core.token
  }

  /** `'vm.start'`, `'server.createVm'`, ... */
  get operation(): OperationCode {
    return this.#core.operation
  }

  /** The VM or host that the job works on; absent for a batch, or a job made of several. */
  get target(): JobTarget | undefined {
    return this.#core.target
  }

  /** Whether the job runs or has ended, or nobody can say: see {@link JobStatus}. */
  get status(): JobStatus {
    return this.#core.status
  }

  /** How far the job has come, as of now. */
  get progress(): Progress {
    return this.#core.progress
  }

  /** The outcome, or `undefined` while the job runs. */
  get result(): Result<T, E> | undefined {
    this.#core.observe()
    return this.#core.result
  }

  /** `'SUCCESS'` or the error's code; `undefined` while the job runs. */
  get retCode(): 'SUCCESS' | E['code'] | undefined {
    const { result } = this
    if (result === undefined) return undefined
    return result.isOk() ? 'SUCCESS' : result.error.code
  }

  /** Whether the job can be cancelled at present: it waits in line, or its host can stop it. */
  get isCancelable(): boolean {
    return this.#core.isCancelable
  }

  /** When the call was made. */
  get startedAt(): Date {
    return new Date(this.#core.startedAtMs)
  }

  /** When the job ended; absent while it runs. */
  get finishedAt(): Date | undefined {
    const { finishedAtMs } = this.#core
    return finishedAtMs === undefined ? undefined : new Date(finishedAtMs)
  }

  /** Waits for the end, or gives up waiting; other waiters and the job itself don't notice. */
  wait(options?: WaitOptions): Promise<Result<T, E | WaitTimeoutError | WaitAbortedError | InvalidArgumentError>> {
    const core = this.#core
    core.observe()
    if (options === undefined) return core.promise
    const waiting = withOptions(options, (checked) => waitFor(core, checked), waitOptionNames)
    if (!(waiting instanceof VmError)) return waiting
    VmError.locate(waiting, core.operation, core.target)
    return Promise.resolve(err(waiting))
  }

  /**
   * Waits for the value.
   *
   * @throws the typed error, whose `stack` has the lines of the async functions that await it
   */
  async unwrap(): Promise<T> {
    this.#core.observe()
    const result = await this.#core.promise
    if (result.isOk()) return result.value
    // By now V8 lists the async functions that await this promise: success pays nothing for the caller's line.
    throw result.error instanceof VmError ? VmError.withCaller(result.error, new Error()) : result.error
  }

  /**
   * Asks the host to stop. Succeeds only once the operation has really been stopped; else says that it can't be, or that it
   * had ended before.
   */
  cancel(reason?: string): Job<void, JobNotCancelableError | JobFinishedError> {
    const core = this.#core
    const cancelling = new JobCore<void, JobNotCancelableError | JobFinishedError>('job.cancel', core.target)
    // A job that is cancelled is not unobserved.
    core.observe()
    const request = { by: 'caller', reason: typeof reason === 'string' && reason !== '' ? reason : byCaller } as const
    void core.cancel(request).then((verdict) => {
      if (verdict.kind === 'cancelled') cancelling.succeed()
      else if (verdict.kind === 'finished') {
        cancelling.fail(new JobFinishedError({ reason: `${core.operation} had already finished` }))
      } else cancelling.fail(notStopped(core.operation, verdict))
    })
    return new Job(cancelling)
  }

  /** Calls the listener at each progress, the last time with 100 % if the job succeeds, until the returned function is called. */
  onProgress(listener: (progress: Progress) => void): () => void {
    this.#core.observe()
    return this.#core.isSettled ? () => undefined : this.#core.listen({ onProgress: inCallerContext(listener) })
  }

  /** neverthrow's `ResultAsync`, for chaining. */
  toResultAsync(): ResultAsync<T, E> {
    this.#core.observe()
    return new ResultAsync(this.#core.promise)
  }

  /** The progress now, and each later one that the loop is fast enough for; ends when the job ends. */
  [Symbol.asyncIterator](): AsyncIterator<Progress, undefined> {
    this.#core.observe()
    return progressIterator(this.#core)
  }

  /** Cancels the job if it still runs, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#core.observe()
    await this.#core.cancel({ by: 'caller', reason: 'its scope was left' })
    await this.#core.promise
  }

  /** For `console.log`: {@link toString}, and the value. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { result } = this.#core
    const value = result?.isOk() === true && result.value !== undefined ? ` ${inspect(result.value, options)}` : ''
    return `${this.toString()}${value}`
  }

  /** How it stands, for a log; without the value, which may be long. */
  toJSON(): Record<string, unknown> {
    const { id, operation, target, status, progress, startedAt, finishedAt } = this
    const { result } = this.#core
    const ended = result === undefined ? {} : { finishedAt, retCode: result.isOk() ? 'SUCCESS' : result.error.code }
    const failed = result?.isErr() === true ? { error: result.error } : {}
    return { id, operation, target, status, progress, startedAt, ...ended, ...failed }
  }

  /** For people: `Job job-17 vm.start "web-1" running 40 % (loading)`. */
  toString(): string {
    const { target, progress, status } = this
    const { result } = this.#core
    const on = target === undefined ? '' : ` ${JSON.stringify(target.name)}`
    const state =
      result === undefined
        ? `${status} ${progress.percent.toFixed(0)} %`
        : result.isOk()
          ? 'SUCCESS'
          : result.error.code
    const phase = result === undefined && progress.phase !== undefined ? ` (${progress.phase})` : ''
    return `${this instanceof Job ? 'Job' : 'JobRef'} ${this.id} ${this.operation}${on} ${state}${phase}`
  }
}

/** One job made of at least so many; if they are not jobs, a job that has failed already. */
function grouped(jobs: unknown, grouping: Grouping, least: number): Job<unknown> {
  const cores = coresOf(jobs)
  if (cores !== undefined && cores.length >= least) return new Job(follow(cores, grouping))
  const refused = new JobCore<never, InvalidArgumentError>(grouping.operation)
  const reason = cores === undefined ? 'jobs must be an array of jobs' : 'jobs must not be empty'
  refused.fail(new InvalidArgumentError({ path: 'jobs', reason }))
  return new Job(refused)
}

function coresOf(jobs: unknown): JobCore<unknown, VmError>[] | undefined {
  try {
    const members: unknown[] | undefined = Array.isArray(jobs) ? Array.from<unknown>(jobs) : undefined
    return members?.every((job) => job instanceof JobRef) ? members.map((job) => JobRef.coreOf(job)) : undefined
  } catch {
    return undefined
  }
}

function notStopped(operation: OperationCode, verdict: CancelVerdict & { cause?: unknown }): JobNotCancelableError {
  const { kind, cause } = verdict
  if (kind === 'unknown') {
    const hint = 'Ask for the state of the VM: it may have taken place.'
    return new JobNotCancelableError({ reason: `nobody can say whether ${operation} was stopped`, hint, cause })
  }
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new JobNotCancelableError({
    reason: `${operation} can't be cancelled${why}`,
    hint: 'The job goes on: await it.',
    cause,
  })
}

/** A job that has ended needs no promise of its own. */
const settled = Promise.resolve()

/**
 * An operation under way. `await` it for its {@link Result}; or keep it, to poll, watch and cancel it.
 *
 * It is a thenable that never rejects, so it has no `catch`. An `async` function that returns a job gives its caller the
 * Result, not the job: return {@link Job.ref} instead.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:').unwrap()
 * const vm = await server.createVm({ name: 'web-1' }).unwrap()
 *
 * const job = vm.start()
 * job.onProgress(({ percent, phase }) => console.log(percent, phase))
 * const result = await job
 * console.log(result.isOk() ? 'started' : result.error.message, job.retCode)
 * ```
 */
export class Job<out T, out E extends VmError = VmError> extends JobRef<T, E> implements PromiseLike<Result<T, E>> {
  #ref: JobRef<T, E> | undefined

  /**
   * One job for all of them: the values in order, or the first error; its progress is the mean of theirs, and cancelling
   * it cancels those that still run. As with `Promise.all`, the others go on when one has failed.
   */
  static all<const J extends readonly JobRef<unknown>[]>(
    jobs: J,
  ): Job<{ -readonly [K in keyof J]: JobValue<J[K]> }, JobError<J[number]> | InvalidArgumentError> {
    return grouped(jobs, all, 0) as never
  }

  /**
   * The first value among them; if all fail, the error of the first in the list. The others go on, and cancelling it
   * cancels those that still run.
   */
  static any<const J extends readonly JobRef<unknown>[]>(
    jobs: J,
  ): Job<JobValue<J[number]>, JobError<J[number]> | InvalidArgumentError> {
    return grouped(jobs, any, 1) as never
  }

  /** The first outcome among them, value or error. The others go on, and cancelling it cancels those that still run. */
  static race<const J extends readonly JobRef<unknown>[]>(
    jobs: J,
  ): Job<JobValue<J[number]>, JobError<J[number]> | InvalidArgumentError> {
    return grouped(jobs, race, 1) as never
  }

  /**
   * The {@link Result} of each, in order, once all have ended; it never fails for a failure of theirs.
   *
   * @example
   * ```ts
   * import { connect, Job } from 'awaitvm'
   *
   * await using server = await connect('embedded:').unwrap()
   * const vm = await server.createVm({ name: 'web-1' }).unwrap()
   * const [started, resumed] = await Job.settled([vm.start(), vm.resume()]).unwrap()
   * console.log(started.isOk(), resumed.isErr() && resumed.error.code)
   * ```
   */
  static settled<const J extends readonly JobRef<unknown>[]>(
    jobs: J,
  ): Job<{ -readonly [K in keyof J]: Result<JobValue<J[K]>, JobError<J[K]>> }, InvalidArgumentError> {
    return grouped(jobs, allSettled, 0) as never
  }

  /** The same handle without `then`: it survives `await` and `return` in async code. */
  get ref(): JobRef<T, E> {
    this.#ref ??= new JobRef(JobRef.coreOf(this))
    return this.#ref
  }

  /** Waits for the {@link Result}; it never rejects. */
  then<A = Result<T, E>, B = never>(
    onfulfilled?: ((result: Result<T, E>) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const core = JobRef.coreOf(this)
    core.observe()
    const { result } = core
    if (result === undefined || typeof onfulfilled !== 'function') return core.promise.then(onfulfilled, onrejected)
    return settled.then(() => onfulfilled(result))
  }
}
