import { type CancelErrors, type Job, type Result, type VmError } from 'awaitvm'
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { Call } from './step.js'

/** A job that a step has begun, and what else the step does to it. */
export class HandledJob {
  readonly job: Job<unknown>
  readonly #verdicts: Promise<Result<void, CancelErrors>>[] = []
  readonly #watches: Promise<unknown>[] = []
  readonly #controller: AbortController | undefined
  readonly #call: Call
  #turns = 0

  constructor(begin: (options: { readonly signal?: AbortSignal }) => Job<unknown>, call: Call) {
    this.#call = call
    this.#controller = call.then === 'abort' ? new AbortController() : undefined
    this.job = begin(this.#controller === undefined ? {} : { signal: this.#controller.signal })
    if (call.then === 'watch') this.#watches.push(this.#watch())
    if (call.then === 'waitBriefly') this.#watches.push(this.#waitBriefly())
  }

  /** Counts a turn that has passed. */
  tick(): void {
    if (this.#turns === this.#call.turns) {
      if (this.#call.then === 'cancel') this.cancel()
      this.#controller?.abort()
    }
    this.#turns += 1
  }

  cancel(): void {
    // `Promise.resolve` of a job waits for its Result.
    this.#verdicts.push(Promise.resolve(this.job.cancel()))
  }

  /** Asserts what holds for every ended job, and for what was done to it. */
  async check(): Promise<Result<unknown, VmError>> {
    const { job } = this
    const result = await job
    assert.equal(await job, result)
    assert.equal(job.result, result)
    const code = result.isOk() ? 'SUCCESS' : result.error.code
    assert.equal(job.retCode, code)
    assert.equal(job.status, code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'finished')
    if (result.isErr()) {
      assert.ok(job.progress.percent < 100)
      assert.equal(result.error.operation, job.operation)
    } else assert.equal(job.progress.percent, 100)
    for (const verdict of await Promise.all(this.#verdicts)) {
      if (verdict.isOk()) assert.equal(code, 'JOB_CANCELLED')
      else if (verdict.error.code === 'JOB_FINISHED') assert.notEqual(code, 'JOB_CANCELLED')
    }
    const wasAsked = this.#verdicts.length > 0 || this.#controller?.signal.aborted === true
    if (code === 'JOB_CANCELLED') assert.ok(wasAsked, 'nobody asked for it')
    await Promise.all(this.#watches)
    return result
  }

  async #watch(): Promise<void> {
    let last = 0
    for await (const { percent } of this.job) {
      assert.ok(percent >= last)
      last = percent
    }
    assert.notEqual(this.job.status, 'running')
  }

  /** A waiter that gives up does not affect the job. */
  async #waitBriefly(): Promise<void> {
    const controller = new AbortController()
    const waiting = this.job.wait({ signal: controller.signal })
    await turn()
    controller.abort()
    const result = await waiting
    if (result.isErr() && result.error.code === 'WAIT_ABORTED') return
    assert.equal(result, this.job.result)
  }
}
