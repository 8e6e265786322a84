import type { Result } from 'neverthrow'
import { err, ok } from 'neverthrow'
import { wallClockMs } from '../clock.js'
import { JobCancelledError, OutcomeUnknownError, TimeoutError, VmError } from '../errors.js'
import { operations, type JobTarget, type OperationCode, type OperationSpec } from '../operations.js'
import { callSafely } from './call-safely.js'
import { Cancellation, type CancelRequest } from './cancellation.js'
import { publishJobEvent } from './diagnostics.js'
import { advance, complete, noProgress, type Progress, type ProgressReport } from './progress.js'
import type { UnobservedFailure, UnobservedFailures } from './unobserved-failures.js'

/**
 * `'running'`: it has not ended. `'finished'`: it has, and its result tells how. `'unknown'`: the connection was lost with the operation
 * in flight, and nobody can say whether it took place; if the host can be asked again, the status becomes true again.
 */
export type JobStatus = 'running' | 'finished' | 'unknown'

export interface JobListener {
  onProgress?(progress: Progress): void
  onSettled?(): void
}

/** What came of a request to stop; `'unknown'` if nobody can say whether the operation was stopped. */
export type CancelVerdict =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'finished' }
  | { readonly kind: 'refused' | 'unknown'; readonly cause?: unknown }

/** Longest wait for a host to confirm that it has stopped an operation whose time is over: limits are kept to the second. */
export const confirmationMs = 800

/** What most jobs never need. */
interface Extras {
  token: string | undefined
  isPartial: boolean
  leaveQueue: (() => void) | undefined
  listeners: Set<JobListener> | undefined
  cancellation: Cancellation | undefined
  unobserved: UnobservedFailure | undefined
  isUnreachable: boolean
  /** Whether its host has been asked for the change, if the driver tells. */
  sending: 'held back' | 'sent' | undefined
}

let lastNumber = 0

/**
 * The life of a job, behind the handles that users see. It settles once; everything that most jobs never need
 * (listeners, the promise, cancellation) is made on first use.
 */
export class JobCore<T, E extends VmError> {
  readonly number = ++lastNumber
  readonly startedAtMs = wallClockMs()
  finishedAtMs: number | undefined
  progress: Progress = noProgress
  result: Result<T, E> | undefined
  readonly operation: OperationCode
  readonly target: JobTarget | undefined
  /** Collects failures that nobody looked at. */
  failures: UnobservedFailures | undefined
  #isObserved = false
  #promise: Promise<Result<T, E>> | undefined
  #resolve: ((result: never) => void) | undefined
  #extras: Extras | undefined

  constructor(operation: OperationCode, target?: JobTarget, failures?: UnobservedFailures) {
    this.operation = operation
    this.target = target
    this.failures = failures
    publishJobEvent('start', this)
  }

  get status(): JobStatus {
    if (this.result === undefined) return this.#extras?.isUnreachable === true ? 'unknown' : 'running'
    return this.result.isErr() && this.result.error.code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'finished'
  }

  /** Finds the job again from any process, if the host keeps its jobs. */
  get token(): string | undefined {
    return this.#extras?.token
  }

  set token(token: string | undefined) {
    this.#extra.token = token
  }

  get promise(): Promise<Result<T, E>> {
    this.#promise ??=
      this.result === undefined
        ? new Promise((resolve) => {
            this.#resolve = resolve
          })
        : Promise.resolve(this.result)
    return this.#promise
  }

  /** Notes that the outcome is looked at, now or later. */
  observe(): void {
    this.#isObserved = true
    if (this.#extras?.unobserved === undefined) return
    this.failures?.delete(this.#extras.unobserved)
    this.#extras.unobserved = undefined
  }

  /** Listens until the job ends or the returned function is called. */
  listen(listener: JobListener): () => void {
    const extra = this.#extra
    extra.listeners ??= new Set()
    extra.listeners.add(listener)
    return () => void extra.listeners?.delete(listener)
  }

  /** The job waits in line, and nothing has been sent, until `begin` is called; `leave` takes it out of the line. */
  queue(leave: () => void): void {
    this.#extra.leaveQueue = leave
    this.report({ phase: 'queued' })
  }

  begin(): void {
    if (this.#extras?.leaveQueue === undefined) return
    this.#extras.leaveQueue = undefined
    this.progress = noProgress
    this.#announce()
  }

  report(update: ProgressReport): void {
    if (this.result !== undefined) return
    this.progress = advance(this.progress, update)
    this.#announce()
  }

  /** Notes whether the host can be asked about the job at present: the connection is lost, or back. */
  setReachable(isReachable: boolean): void {
    if (this.result === undefined) this.#extra.isUnreachable = !isReachable
  }

  /** Nothing is sent until the returned function is called, which throws if the job has ended. What was sent stays sent. */
  holdBack(): () => void {
    const extra = this.#extra
    extra.sending ??= 'held back'
    return () => {
      if (extra.sending === 'sent') return
      if (this.result?.isErr() === true) throw this.result.error
      extra.sending = 'sent'
    }
  }

  /** Asks for something before the change: nothing is sent until the answer, nor if the job has ended by then. */
  async askFirst<A>(ask: () => Promise<A>): Promise<A> {
    const extra = this.#extra
    extra.sending = 'held back'
    const answer = await ask()
    if (this.result?.isErr() === true) throw this.result.error
    extra.sending = undefined
    return answer
  }

  /** Whether the host has been asked for the change, for certain. */
  get wasSent(): boolean {
    return this.#extras?.sending === 'sent'
  }

  /** Whether the operation may take place though nobody waits for it any more; a driver that does not tell may have sent it at once. */
  get mayTakePlace(): boolean {
    const { isQuery }: OperationSpec = operations[this.operation]
    return isQuery !== true && !this.isQueued && this.#extras?.sending !== 'held back'
  }

  /** @param within a failure inside the value, for {@link failures} if nobody looks at the value */
  succeed(value: T, within?: VmError): void {
    if (this.result !== undefined) return
    this.progress = complete(this.progress)
    this.#settle(ok(value), within)
  }

  /** Ends the job with what was done before it was stopped; the request to stop it succeeds. */
  succeedInPart(value: T, within?: VmError): void {
    if (this.result !== undefined) return
    this.#extra.isPartial = true
    this.#settle(ok(value), within)
  }

  /** Ends the job with an error; one that says "cancelled" gets the reason of the request. */
  fail(error: E): void {
    if (this.result !== undefined) return
    const request = this.#extras?.cancellation?.request
    const failure = error.code === 'JOB_CANCELLED' && request !== undefined ? stopped(request, error) : error
    VmError.locate(failure, this.operation, this.target)
    this.#settle(err(failure as E), failure)
  }

  get cancellation(): Cancellation {
    return (this.#extra.cancellation ??= new Cancellation(() => this.promise))
  }

  /** Whether there was a request to stop that was not refused. */
  get isAskedToStop(): boolean {
    return this.#extras?.cancellation?.request !== undefined
  }

  get isSettled(): boolean {
    return this.result !== undefined
  }

  get isQueued(): boolean {
    return this.#extras?.leaveQueue !== undefined
  }

  get isCancelable(): boolean {
    return this.result === undefined && (this.isQueued || this.#extras?.cancellation?.isPossible === true)
  }

  /** Ends the job without waiting for the work, whose signal is aborted. */
  abandon(error: E): void {
    this.#extras?.leaveQueue?.()
    this.fail(error)
    this.#extras?.cancellation?.abort(error.reason)
  }

  /** Asks the work to stop, and tells what came of it. */
  async cancel(request: CancelRequest): Promise<CancelVerdict> {
    if (this.result !== undefined) return { kind: 'finished' }
    if (this.isQueued) {
      this.abandon(stopped(request) as unknown as E)
      return { kind: 'cancelled' }
    }
    const cancellation = this.#extras?.cancellation
    if (cancellation?.isPossible !== true) return { kind: 'refused' }
    const ended = this.promise.then((result) => verdictOn(result, this.#extras?.isPartial === true))
    const refused = cancellation.ask(request).then((refusal) => ({ kind: 'refused' as const, ...refusal }))
    const verdict = await Promise.race([refused, ended])
    // The job may have ended while its driver was asked.
    return this.isSettled ? await ended : verdict
  }

  /** The time for the operation is over: stops it, or ends the job with an unknown outcome. */
  async expire(timeoutMs: number): Promise<void> {
    const reason = `it took longer than ${String(timeoutMs)} ms`
    const giveUp = (why: string): void => {
      if (!this.mayTakePlace) {
        this.abandon(new TimeoutError({ reason, hint: 'Nothing was changed.' }) as unknown as E)
        return
      }
      const hint = 'Ask for the state of the VM: the operation goes on, and may still take place.'
      const cause = new TimeoutError({ reason })
      this.fail(new OutcomeUnknownError({ reason: `${reason}, and ${why}`, hint, cause }) as unknown as E)
    }
    const timer = setTimeout(giveUp, confirmationMs, 'its host has not confirmed that it was cancelled')
    const unlisten = this.listen({
      onSettled() {
        clearTimeout(timer)
      },
    })
    const verdict = await this.cancel({ by: 'timeout', reason })
    clearTimeout(timer)
    unlisten()
    if (verdict.kind === 'refused') giveUp("can't be cancelled")
  }

  get #extra(): Extras {
    this.#extras ??= {
      token: undefined,
      isPartial: false,
      leaveQueue: undefined,
      listeners: undefined,
      cancellation: undefined,
      unobserved: undefined,
      isUnreachable: false,
      sending: undefined,
    }
    return this.#extras
  }

  #settle(result: Result<T, E>, failure: VmError | undefined): void {
    this.result = result
    this.finishedAtMs = wallClockMs()
    this.#resolve?.(result as never)
    if (this.#extras !== undefined) this.#announceEnd(this.#extras)
    publishJobEvent('end', this)
    if (this.failures === undefined || this.#isObserved || failure === undefined) return
    this.#extra.unobserved = this.failures.add(this, failure)
  }

  #announce(): void {
    publishJobEvent('progress', this)
    for (const listener of this.#extras?.listeners ?? []) {
      callSafely(() => listener.onProgress?.(this.progress))
      // If a listener has ended the job, the others know already.
      if (this.result !== undefined) return
    }
  }

  #announceEnd(extras: Extras): void {
    const { listeners } = extras
    extras.leaveQueue = undefined
    extras.listeners = undefined
    if (listeners === undefined) return
    const succeeded = this.result?.isOk() === true
    for (const listener of listeners) {
      if (succeeded) callSafely(() => listener.onProgress?.(this.progress))
      callSafely(() => listener.onSettled?.())
    }
  }
}

function stopped(request: CancelRequest, error?: VmError): JobCancelledError | TimeoutError {
  const { by, reason, cause = error?.cause } = request
  const { native, hint } = error ?? {}
  return by === 'timeout'
    ? new TimeoutError({ reason, hint: hint ?? 'The operation was cancelled.', native, cause })
    : new JobCancelledError({ reason, hint, native, cause })
}

function verdictOn(result: Result<unknown, VmError>, isPartial: boolean): CancelVerdict {
  if (result.isOk()) return { kind: isPartial ? 'cancelled' : 'finished' }
  const { error } = result
  if (error.code === 'OUTCOME_UNKNOWN') return { kind: 'unknown', cause: error }
  return { kind: error.code === 'JOB_CANCELLED' || error.code === 'TIMEOUT' ? 'cancelled' : 'finished' }
}
