import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createJob } from 'awaitvm/testing'
import { activeTimers } from '../../support/timers.js'

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

describe('with a timeout', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  test('gives up waiting, and the job goes on', async () => {
    const { job, succeed } = createJob<number>({ target: { type: 'vm', id: '1', name: 'web-1' } })
    const waiting = job.wait({ timeoutMs: 50 })
    await vi.advanceTimersByTimeAsync(50)
    const error = (await waiting)._unsafeUnwrapErr()
    expect(error.code).toBe('WAIT_TIMEOUT')
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": it did not end within 50 ms. The job goes on: wait again, or cancel it."`,
    )
    expect(job.status).toBe('running')
    succeed(1)
    expect((await job.wait({ timeoutMs: 50 })).isOk()).toBe(true)
  })

  test('one that ran out leaves the others alone, and a later await works', async () => {
    const { job, succeed } = createJob<number>()
    const controller = new AbortController()
    const others = [job.wait(), job.wait({ timeoutMs: 1000 }), job.wait({ signal: controller.signal }), job.unwrap()]
    const short = job.wait({ timeoutMs: 10 })
    const aborted = job.wait({ signal: controller.signal, timeoutMs: 500 })
    const untouched = job.then((result) => result)
    await vi.advanceTimersByTimeAsync(10)
    expect((await short)._unsafeUnwrapErr().code).toBe('WAIT_TIMEOUT')
    controller.abort()
    expect((await aborted)._unsafeUnwrapErr().code).toBe('WAIT_ABORTED')
    const again = job.wait({ timeoutMs: 1000 })
    succeed(3)
    const [first, second, third, fourth] = await Promise.all(others)
    expect([first, second]).toEqual([job.result, job.result])
    expect(third).toMatchObject({ error: { code: 'WAIT_ABORTED' } })
    expect(fourth).toBe(3)
    expect(await untouched).toBe(job.result)
    expect(await again).toBe(job.result)
  })

  test('leaves no timer', async () => {
    const { job, succeed } = createJob()
    const controller = new AbortController()
    const first = job.wait({ timeoutMs: 1000 })
    const second = job.wait({ timeoutMs: 1000, signal: controller.signal })
    const third = job.wait({ timeoutMs: 10 })
    expect(vi.getTimerCount()).toBe(3)
    await vi.advanceTimersByTimeAsync(10)
    await third
    expect(vi.getTimerCount()).toBe(2)
    controller.abort()
    await second
    expect(vi.getTimerCount()).toBe(1)
    succeed()
    await first
    expect(vi.getTimerCount()).toBe(0)
  })

  test.for([-1, Number.NaN, Infinity, 2 ** 31, '5', null])('%s is no timeout', async (timeoutMs) => {
    const { job, succeed } = createJob()
    const error = (await job.wait({ timeoutMs: timeoutMs as number }))._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'timeoutMs' })
    expect(vi.getTimerCount()).toBe(0)
    succeed()
    expect((await job).isOk()).toBe(true)
  })
})

describe('with a signal', () => {
  test('gives up with the cause', async () => {
    const { job } = createJob()
    const controller = new AbortController()
    const waiting = job.wait({ signal: controller.signal })
    const cause = new Error('the user left')
    controller.abort(cause)
    const error = (await waiting)._unsafeUnwrapErr()
    expect(error.code).toBe('WAIT_ABORTED')
    expect(error.cause).toBe(cause)
    expect(job.status).toBe('running')
  })

  test('gives up at once if it is aborted already', async () => {
    const { job } = createJob()
    const signal = AbortSignal.abort()
    const before = activeTimers()
    expect((await job.wait({ signal, timeoutMs: 10_000 }))._unsafeUnwrapErr().code).toBe('WAIT_ABORTED')
    expect(listenersOf(signal)).toBe(0)
    expect(activeTimers()).toBe(before)
  })

  test('the Result of a job that has ended comes before all else', async () => {
    const { job, succeed } = createJob()
    succeed()
    expect(await job.wait({ signal: AbortSignal.abort(), timeoutMs: 0 })).toBe(job.result)
  })

  test('leaves no listener, however it ends', async () => {
    const { signal } = new AbortController()
    const finished = createJob()
    const waiting = finished.job.wait({ signal })
    expect(listenersOf(signal)).toBe(1)
    finished.succeed()
    await waiting
    expect(listenersOf(signal)).toBe(0)

    const slow = createJob()
    await slow.job.wait({ signal, timeoutMs: 1 })
    expect(listenersOf(signal)).toBe(0)

    const controller = new AbortController()
    const aborted = slow.job.wait({ signal: controller.signal })
    controller.abort()
    await aborted
    expect(listenersOf(controller.signal)).toBe(0)
  })

  test('leaves nothing that keeps the process alive', async () => {
    const before = activeTimers()
    const { job, succeed } = createJob()
    const controller = new AbortController()
    const waits = [job.wait({ timeoutMs: 60_000 }), job.wait({ timeoutMs: 60_000, signal: controller.signal })]
    expect(activeTimers()).toBe(before + 2)
    controller.abort()
    await waits[1]
    expect(activeTimers()).toBe(before + 1)
    succeed()
    await Promise.all(waits)
    expect(activeTimers()).toBe(before)
  })

  test.for([{}, 'signal', 5, null, Object.create(AbortSignal.prototype) as unknown])(
    '%j is no signal',
    async (signal) => {
      const { job } = createJob()
      const error = (await job.wait({ signal: signal as AbortSignal }))._unsafeUnwrapErr()
      expect(error.code).toBe('INVALID_ARGUMENT')
    },
  )
})

test.for([null, 5, 'options', [], () => undefined])('%o are no options', async (options) => {
  const { job } = createJob()
  expect((await job.wait(options as never))._unsafeUnwrapErr()).toMatchObject({
    code: 'INVALID_ARGUMENT',
    path: 'options',
  })
})

test('options whose getters throw are wrong options', async () => {
  const { job } = createJob()
  const options = {
    get timeoutMs(): number {
      throw new Error('hostile')
    },
  }
  expect((await job.wait(options))._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'options' })
})

test('a wait whose time ran out may be tried again, and one that was aborted fails again', async () => {
  const { job } = createJob()
  const expired = (await job.wait({ timeoutMs: 0 }))._unsafeUnwrapErr()
  expect(expired).toMatchObject({ code: 'WAIT_TIMEOUT', retryable: true })
  const aborted = (await job.wait({ signal: AbortSignal.abort() }))._unsafeUnwrapErr()
  expect(aborted).toMatchObject({ code: 'WAIT_ABORTED', retryable: false })
})
