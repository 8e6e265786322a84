import { err, type Err, type Result } from 'neverthrow'
import { InvalidArgumentError, JobCancelledError, OutcomeUnknownError } from '../errors.js'
import { callSafely } from '../job/call-safely.js'
import { CallerContext } from '../job/caller-context.js'
import type { CancelRequest } from '../job/cancellation.js'
import { confirmationMs, type JobCore } from '../job/job-core.js'
import type { JobRef } from '../job/job.js'
import type { ItemCounts } from '../job/progress.js'
import { BatchIntake } from './batch-intake.js'
import { attempt, coreOf, type BatchOperation } from './batch-operation.js'
import type { BatchOptions } from './batch-options.js'
import { BatchQueue } from './batch-queue.js'
import { BatchReport, type BatchItemError, type BatchOutcome, type BatchStop } from './batch-report.js'
import { BatchSignal } from './batch-signal.js'
import { BatchTally } from './batch-tally.js'
import { located, wordsOf } from './item-error.js'
import { placeOf } from './item-place.js'
import type { ItemSource } from './item-source.js'
import type { OutcomeReader } from './outcome-reader.js'
import { RetryPolicy } from './retry-policy.js'

/** One item that was taken from the list. */
interface Entry<Item, E> {
  readonly index: number
  readonly item: Item
  attempts: number
  jobId: string | undefined
  percent: number
  /** The error of the last attempt, while the item waits for the next. */
  failure: Err<never, BatchItemError<E>> | undefined
  timer: NodeJS.Timeout | undefined
}

/** How many items of a list without a length wait in line, so that priorities and hosts have a choice. */
const choiceSize = 1000

/** Runs a batch: takes items as places become free, tries each, and ends the job with the report. */
export class BatchRun<Item, T, E> {
  readonly #core: JobCore<BatchReport<Item, T, E>, InvalidArgumentError>
  readonly #operation: BatchOperation<Item, T, E>
  readonly #options: BatchOptions<Item, T, E>
  readonly #retries: RetryPolicy<E>
  readonly #intake: BatchIntake<Item>
  readonly #queue: BatchQueue
  readonly #tally = new BatchTally<Item, T, E>()
  /** Most items that may wait in line. */
  readonly #room: number
  readonly #waiting = new Set<Entry<Item, E>>()
  readonly #running = new Map<Entry<Item, E>, JobRef<T> | undefined>()
  /** The sum of the percentages of all items. */
  #percents = 0
  #stop: BatchStop | undefined
  /** True if the stop left something undone. */
  #isCut = false
  readonly #signal = new BatchSignal()
  /** The async context of the batch's caller; readers, and callers of `cancel`, have others. */
  readonly #context = new CallerContext()
  #isFilling = false
  #timer: NodeJS.Timeout | undefined
  #isReportDue = false

  constructor(
    core: JobCore<BatchReport<Item, T, E>, InvalidArgumentError>,
    source: ItemSource<Item>,
    operation: BatchOperation<Item, T, E>,
    options: BatchOptions<Item, T, E>,
  ) {
    const { concurrency = 64, perHostConcurrency, rateLimit, priority } = options
    this.#core = core
    this.#operation = operation
    this.#options = options
    this.#retries = new RetryPolicy(options.retry)
    this.#queue = new BatchQueue({ concurrency, perHostConcurrency, rateLimit })
    const hasChoice = perHostConcurrency !== undefined || priority !== undefined
    this.#room = hasChoice ? (source.size ?? Math.max(concurrency, choiceSize)) : concurrency
    this.#intake = new BatchIntake(source, {
      // Unread outcomes count, so that a slow reader slows the batch down.
      hasRoom: () => this.#stop === undefined && this.#waiting.size < this.#room && this.#tally.backlog < this.#room,
      accept: (item, index) => {
        this.#accept(item, index)
      },
      fail: (cause) => {
        this.#breakOff({ by: 'items', reason: `the list failed:  ${wordsOf(cause)}`, cause })
      },
      arrived: () => {
        this.#goOn()
      },
    })
  }

  /** @param refusal given if the batch was cancelled before it began: then it only reports */
  begin(refusal?: JobCancelledError): void {
    this.#core.cancellation.add(async (reason = 'the batch was cancelled') => {
      const refusals = await this.#cancel(this.#core.cancellation.request ?? { by: 'caller', reason })
      if (refusals === 0) return
      throw new Error(`${String(refusals)} of its running items can't be stopped, and no further one is started`)
    })
    const { timeoutMs } = this.#options
    if (refusal !== undefined) void this.#cancel({ by: 'signal', reason: refusal.reason, cause: refusal.cause })
    else if (timeoutMs !== undefined) this.#timer = setTimeout(this.#expire, timeoutMs)
    this.#goOn()
  }

  /** The running jobs. */
  get jobs(): readonly JobRef<T>[] {
    return [...this.#running.values()].filter((job) => job !== undefined)
  }

  /** Yields the outcomes so far, then each new one. Undefined if there is another reader. */
  read(): OutcomeReader<BatchOutcome<Item, T, E>> | undefined {
    // Reading the outcomes counts as looking at the failures.
    this.#core.observe()
    const reader = this.#tally.read(() => {
      // Only at these sizes does a read make room.
      const hasRoom = this.#tally.backlog === this.#room - 1 || this.#tally.backlog === 0
      if (hasRoom) this.#context.runInAsyncScope(this.#goOn, this)
    })
    if (this.#core.isSettled) reader?.end()
    return reader
  }

  /** Takes items while there is room, and ends the batch after the last. */
  #goOn(): void {
    // The list and the functions may cancel the batch while they are called, and so re-enter here.
    if (this.#core.isSettled || this.#isFilling) return
    this.#isFilling = true
    this.#intake.fill()
    this.#isFilling = false
    const isOver = this.#intake.isExhausted || this.#stop !== undefined
    if (isOver && this.#waiting.size === 0 && this.#running.size === 0) this.#finish()
    else this.#reportSoon()
  }

  #accept(item: Item, index: number): void {
    if (this.#core.isSettled) return
    const entry: Entry<Item, E> = {
      index,
      item,
      attempts: 0,
      jobId: undefined,
      percent: 0,
      failure: undefined,
      timer: undefined,
    }
    if (this.#stop === undefined) this.#enqueue(entry)
    else this.#end(entry, this.#neverStarted())
  }

  #enqueue(entry: Entry<Item, E>): void {
    this.#waiting.add(entry)
    const place = placeOf(entry.item, this.#options)
    // `hostOf` or `priority` may have cancelled the batch.
    if (!this.#waiting.has(entry)) return
    if (!(place instanceof InvalidArgumentError)) {
      this.#queue.add(place, () => this.#try(entry))
      return
    }
    this.#waiting.delete(entry)
    this.#end(entry, err(place))
  }

  #try(entry: Entry<Item, E>): Promise<void> {
    this.#waiting.delete(entry)
    // Set before the call: the function itself may cancel the batch.
    this.#running.set(entry, undefined)
    entry.attempts += 1
    entry.failure = undefined
    const { job, outcome } = attempt(this.#operation, entry, this.#signal)
    this.#running.set(entry, job)
    if (job !== undefined) this.#follow(entry, job)
    this.#goOn()
    return outcome.then((result) => {
      this.#settle(entry, result)
    })
  }

  #follow(entry: Entry<Item, E>, job: JobRef<T>): void {
    const core = coreOf(job)
    core.observe()
    entry.jobId = job.id
    if (core.isSettled) return
    core.listen({
      onProgress: ({ percent }) => {
        this.#percents += percent - entry.percent
        entry.percent = percent
        this.#reportSoon()
      },
    })
  }

  #settle(entry: Entry<Item, E>, result: Result<T, BatchItemError<E>>): void {
    // Not if the timeout has given the item up.
    if (!this.#running.has(entry)) return
    const job = this.#running.get(entry)
    if (result.isErr() && job !== undefined) this.#core.failures ??= coreOf(job).failures
    // The item counts as running while the user's function decides, which may cancel the batch.
    const pause =
      result.isErr() && this.#stop === undefined ? this.#retries.pauseAfter(result, entry.attempts) : undefined
    this.#running.delete(entry)
    if (result.isOk() || pause === undefined) this.#end(entry, result)
    else if (pause.isErr() || this.#stop !== undefined) this.#end(entry, pause.isErr() ? err(pause.error) : result)
    else this.#retryLater(entry, err(result.error), pause.value)
    this.#goOn()
  }

  #retryLater(entry: Entry<Item, E>, failure: Err<never, BatchItemError<E>>, pauseMs: number): void {
    this.#percents -= entry.percent
    entry.percent = 0
    entry.failure = failure
    this.#waiting.add(entry)
    entry.timer = setTimeout(() => {
      entry.timer = undefined
      this.#enqueue(entry)
      this.#goOn()
    }, pauseMs)
    const { index, item, jobId, attempts } = entry
    this.#tell(this.#options.onRetry, { index, item, jobId, error: failure.error, attempts, pauseMs })
  }

  /** Calls a listener after the present turn, since it may cancel the batch, and before the batch settles. */
  #tell<X>(listener: ((value: X) => void) | undefined, value: X): void {
    if (listener === undefined) return
    queueMicrotask(() => {
      this.#context.runInAsyncScope(callSafely, undefined, () => {
        listener(value)
      })
    })
  }

  /** Records the final outcome of an item. */
  #end({ index, item, jobId, attempts, percent }: Entry<Item, E>, result: Result<T, BatchItemError<E>>): void {
    this.#percents += 100 - percent
    const { failed } = this.#tally
    const outcome = { index, item, jobId, result, attempts }
    this.#tally.file(outcome)
    this.#tell(this.#options.onOutcome, outcome)
    if (this.#options.stopOnError !== true || this.#tally.failed === failed || result.isOk()) return
    this.#breakOff({ by: 'error', reason: 'an item failed', cause: result.error })
  }

  /** Starts nothing more. Waiting items end as never started, or with the error of their last attempt. */
  #breakOff(stop: BatchStop): void {
    if (this.#stop !== undefined) return
    this.#stop = stop
    this.#queue.clear()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    this.#isCut = waiting.length > 0 || stop.by === 'items'
    for (const entry of waiting) {
      clearTimeout(entry.timer)
      this.#end(entry, entry.failure ?? this.#neverStarted())
    }
    this.#intake.leave()
  }

  /** Cancels the running items, and returns how many of them refused. */
  async #cancel(request: CancelRequest): Promise<number> {
    this.#context.runInAsyncScope(this.#breakOff, this, request)
    this.#signal.abort(request)
    this.#goOn()
    const { reason, cause } = request
    // If an item's function itself asks for the cancellation, its job exists only after it has returned.
    await Promise.resolve()
    const verdicts = await Promise.all(this.jobs.map((job) => coreOf(job).cancel({ by: 'caller', reason, cause })))
    return verdicts.filter(({ kind }) => kind === 'refused' || kind === 'unknown').length
  }

  readonly #expire = (): void => {
    const reason = `the batch took longer than ${String(this.#options.timeoutMs)} ms`
    this.#timer = setTimeout(() => {
      for (const entry of this.#running.keys()) {
        this.#running.delete(entry)
        const hint = 'Ask for its state: the operation goes on, and may still take place.'
        const unknown = new OutcomeUnknownError({ reason: `${reason}, and this could not be stopped`, hint })
        this.#end(entry, err(located(unknown)))
      }
      this.#goOn()
    }, confirmationMs)
    void this.#cancel({ by: 'timeout', reason })
  }

  #never: Result<never, JobCancelledError> | undefined

  /** Shared by all items: creating thousands of errors would take long. */
  #neverStarted(): Result<never, JobCancelledError> {
    const cause = this.#stop?.by === 'signal' ? this.#stop.cause : undefined
    this.#never ??= err(located(new JobCancelledError({ reason: 'the batch was stopped before its turn', cause })))
    return this.#never
  }

  get #counts(): ItemCounts {
    const { succeeded, failed, cancelled } = this.#tally
    return Object.freeze({ queued: this.#waiting.size, running: this.#running.size, succeeded, failed, cancelled })
  }

  /** Reports once for all changes of this turn. */
  #reportSoon(): void {
    if (this.#isReportDue) return
    this.#isReportDue = true
    queueMicrotask(() => {
      this.#isReportDue = false
      this.#report()
    })
  }

  #report(): void {
    const { total } = this.#intake
    const isKnown = total !== undefined && total > 0
    this.#core.report({
      ...(isKnown && { percent: this.#percents / total, total }),
      done: this.#tally.done,
      unit: 'items',
      items: this.#counts,
    })
  }

  #finish(): void {
    clearTimeout(this.#timer)
    this.#report()
    const { cancelled, firstError } = this.#tally
    // If everything was done before the request to stop, the batch was not stopped.
    const isWhole = this.#intake.isExhausted && cancelled === 0 && !this.#isCut
    const stop = isWhole ? undefined : this.#stop
    const report = new BatchReport(this.#tally.report(), this.#counts, stop)
    if (stop === undefined) this.#core.succeed(report, firstError)
    else this.#core.succeedInPart(report, firstError)
    this.#tally.end()
  }
}
