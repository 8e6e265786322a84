import { getEventListeners, once } from 'node:events'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import {
  batch,
  err,
  JobCancelledError,
  ok,
  type BatchContext,
  type BatchReport,
  type JobRef,
  type Result,
  type VmError,
} from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ItemsInHand } from '../../support/items-in-hand.js'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const codesOf = (report: BatchReport<unknown, unknown, VmError>): string[] =>
  report.outcomes.map(({ result }) => (result.isOk() ? 'SUCCESS' : result.error.code))

afterEach(() => {
  vi.useRealTimers()
})

test('of 10,000 items with 64 running: waiting items never start, running ones are stopped, and all are in the report', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(10_000), hands.begin, { concurrency: 64 })
  hands.of(5).succeed()
  await turn()
  expect(hands.running).toHaveLength(64)
  const verdict = await job.cancel('not needed')
  expect(verdict.isOk()).toBe(true)
  const report = await job.unwrap()
  expect(hands.started).toHaveLength(65)
  expect(hands.running).toEqual([])
  expect(job.jobs).toEqual([])
  expect(report.outcomes.map(({ index }) => index)).toEqual(upTo(10_000))
  expect(report.counts).toEqual({ queued: 0, running: 0, succeeded: 1, failed: 0, cancelled: 9999 })
  expect(report.stopped).toEqual({ by: 'caller', reason: 'not needed' })
  expect(report.isSuccess).toBe(false)
  expect(report.outcomes[0]?.result._unsafeUnwrapErr()).toMatchObject({
    code: 'JOB_CANCELLED',
    message: 'Cannot start: not needed.',
  })
  expect(report.outcomes[0]?.attempts).toBe(1)
  expect(report.outcomes[9999]?.attempts).toBe(0)
  expect(job.progress.percent).toBeLessThan(100)
})

test('is refused if a running item can not be stopped; the others are stopped, and the batch ends with that item', async () => {
  const hands = new ItemsInHand<number>((item) => item !== 1)
  const job = batch(upTo(10), hands.begin, { concurrency: 3 })
  const verdict = await job.cancel()
  expect(verdict._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_NOT_CANCELABLE' })
  expect(verdict._unsafeUnwrapErr().message).toContain("1 of its running items can't be stopped")
  expect(job.status).toBe('running')
  expect(hands.running).toEqual([1])
  hands.of(1).succeed()
  const report = await job.unwrap()
  expect(report.counts).toMatchObject({ succeeded: 1, cancelled: 9 })
  expect(report.stopped?.by).toBe('caller')
})

test('can be asked again, and then succeeds', async () => {
  const hands = new ItemsInHand<number>(() => false)
  const job = batch(upTo(3), hands.begin, { concurrency: 1 })
  expect((await job.cancel()).isErr()).toBe(true)
  hands.of(0).task.cancelWith(() => {
    hands.of(0).fail(new JobCancelledError({ reason: 'now' }))
  })
  expect((await job.cancel()).isOk()).toBe(true)
  expect((await job.unwrap()).counts.cancelled).toBe(3)
})

test('of a batch that has ended, or ends before the verdict, fails with JOB_FINISHED', async () => {
  const ended = batch([1], () => Promise.resolve(ok()))
  await ended
  expect((await ended.cancel())._unsafeUnwrapErr().code).toBe('JOB_FINISHED')

  const { job, task, succeed } = createJob()
  task.cancelWith(() => succeed())
  const faster = batch([1], () => job)
  expect((await faster.cancel())._unsafeUnwrapErr().code).toBe('JOB_FINISHED')
  expect((await faster.unwrap()).isSuccess).toBe(true)
})

test('by leaving its scope', async () => {
  const hands = new ItemsInHand<number>()
  {
    await using _job = batch(upTo(5), hands.begin, { concurrency: 2 })
  }
  expect(hands.started).toEqual([0, 1])
  expect(hands.running).toEqual([])
})

describe('by a signal', () => {
  test('one listener serves the whole batch, and is removed at its end', async () => {
    const controller = new AbortController()
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(1000), hands.begin, { concurrency: 100, signal: controller.signal })
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
    controller.abort()
    const report = await job.unwrap()
    const cause: unknown = controller.signal.reason
    expect(report.stopped).toEqual({ by: 'signal', reason: 'its signal was aborted', cause })
    expect(report.counts.cancelled).toBe(1000)
    expect(hands.running).toEqual([])
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  test('that was aborted before: nothing is started, and all items are in the report', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(3), hands.begin, { signal: AbortSignal.abort() })
    expect(hands.started).toEqual([])
    expect((await job.unwrap()).counts.cancelled).toBe(3)
  })

  test('the batch waits for items that can not be stopped', async () => {
    const controller = new AbortController()
    const hands = new ItemsInHand<number>(() => false)
    const job = batch(upTo(3), hands.begin, { concurrency: 1, signal: controller.signal })
    controller.abort()
    await turn()
    expect(job.status).toBe('running')
    hands.of(0).succeed()
    expect(codesOf(await job.unwrap())).toEqual(['SUCCESS', 'JOB_CANCELLED', 'JOB_CANCELLED'])
  })
})

test('an async function gets it by its signal', async () => {
  const job = batch([1, 2], (_item, { signal }) =>
    new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve())
    }).then(() => ok(signal.reason as unknown)),
  )
  expect((await job.cancel('enough'))._unsafeUnwrapErr().code).toBe('JOB_FINISHED')
  const report = await job.unwrap()
  expect(report.succeeded[0]?.result.value).toMatchObject({ name: 'AbortError', message: 'enough' })
})

describe('a function that fails because its signal was aborted counts as cancelled', () => {
  test.for<[string, (signal: AbortSignal) => Promise<Result<void, unknown>>]>([
    ['it rejects with an AbortError', (signal) => delay(1e9, ok(), { signal })],
    [
      'it throws the reason',
      async (signal) => {
        await once(signal, 'abort')
        signal.throwIfAborted()
        return ok()
      },
    ],
    [
      'it returns the reason',
      async (signal) => {
        await once(signal, 'abort')
        return err(signal.reason as unknown)
      },
    ],
  ])('%s', async ([, operation]) => {
    const job = batch([1, 2, 3], (_item, { signal }) => operation(signal), { concurrency: 2 })
    expect((await job.cancel('enough')).isOk()).toBe(true)
    const report = await job.unwrap()
    expect(report.counts).toMatchObject({ failed: 0, cancelled: 3 })
    expect(report.cancelled[0]?.result.error).toMatchObject({
      code: 'JOB_CANCELLED',
      message: 'Cannot run the batch: enough.',
      cause: { name: 'AbortError' },
    })
    expect(report.stopped).toMatchObject({ by: 'caller', reason: 'enough' })
  })

  test('by the signal of the batch: its reason reaches the functions, and is the cause of every error', async () => {
    const reason = new Error('the user has left')
    const controller = new AbortController()
    const hands = new ItemsInHand<number>()
    const reasons: unknown[] = []
    const operation = (item: number, { signal }: BatchContext): JobRef<void> | Promise<Result<void, never>> => {
      if (item === 1) return hands.begin(item)
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      return delay(1e9, ok<void>(undefined), { signal })
    }
    const job = batch([1, 2, 3], operation, { concurrency: 2, signal: controller.signal })
    controller.abort(reason)
    const report = await job.unwrap()
    expect(reasons).toEqual([reason])
    expect(report.cancelled.map(({ result }) => (result.error as Error).cause)).toEqual([reason, reason, reason])
    expect(report.stopped).toEqual({
      by: 'signal',
      reason: 'its signal was aborted: the user has left',
      cause: reason,
    })
  })

  test('another error at that time stays as it is', async () => {
    const error = new Error('could not clean up')
    const job = batch([1], async (_item, { signal }): Promise<Result<void, never>> => {
      await once(signal, 'abort')
      throw error
    })
    expect((await job.cancel())._unsafeUnwrapErr().code).toBe('JOB_FINISHED')
    expect((await job.unwrap()).failed[0]?.result.error).toBe(error)
  })
})

describe('by timeoutMs', () => {
  test('cancels the running items, and reports', async () => {
    vi.useFakeTimers()
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(4), hands.begin, { concurrency: 2, timeoutMs: 5000 })
    hands.of(0).succeed()
    await vi.advanceTimersByTimeAsync(4999)
    expect(job.status).toBe('running')
    await vi.advanceTimersByTimeAsync(1)
    const report = await job.unwrap()
    expect(codesOf(report)).toEqual(['SUCCESS', 'JOB_CANCELLED', 'JOB_CANCELLED', 'JOB_CANCELLED'])
    expect(report.stopped).toEqual({ by: 'timeout', reason: 'the batch took longer than 5000 ms' })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('an item that can not be stopped ends as unknown after half a minute more', async () => {
    vi.useFakeTimers()
    const hands = new ItemsInHand<number>((item) => item !== 0)
    const job = batch(upTo(3), hands.begin, { concurrency: 2, timeoutMs: 5000 })
    await vi.advanceTimersByTimeAsync(5000)
    expect(job.status).toBe('running')
    await vi.advanceTimersByTimeAsync(30_000)
    const report = await job.unwrap()
    expect(codesOf(report)).toEqual(['OUTCOME_UNKNOWN', 'JOB_CANCELLED', 'JOB_CANCELLED'])
    hands.of(0).succeed()
    await vi.advanceTimersByTimeAsync(0)
    expect(report.counts).toMatchObject({ failed: 1, cancelled: 2 })
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a batch that ends in time leaves no timer', async () => {
    vi.useFakeTimers()
    await batch([1], () => Promise.resolve(ok()), { timeoutMs: 5000 })
    expect(vi.getTimerCount()).toBe(0)
  })
})
