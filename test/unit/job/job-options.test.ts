import { getEventListeners } from 'node:events'
import { connect, JobCancelledError, ResourceBusyError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'
import { hostTask } from '../../../src/driver/host-task.js'

const target = { type: 'vm', id: '1', name: 'web-1' } as const
const stopped = (): JobCancelledError => new JobCancelledError({ reason: 'the host stopped it' })

describe('timeoutMs', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  test('cancels an operation that can be stopped, which then ends with TimeoutError', async () => {
    const { job, task, fail } = createJob({ timeoutMs: 100, target })
    const reasons: unknown[] = []
    task.cancelWith((reason) => {
      reasons.push(reason)
      fail(stopped())
    })
    await vi.advanceTimersByTimeAsync(99)
    expect(job.status).toBe('running')
    await vi.advanceTimersByTimeAsync(1)
    const error = (await job)._unsafeUnwrapErr()
    expect(error.code).toBe('TIMEOUT')
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": it took longer than 100 ms. The operation was cancelled."`,
    )
    expect(reasons).toEqual(['it took longer than 100 ms'])
    expect(job.status).toBe('finished')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends an operation that can not be stopped with OutcomeUnknownError', async () => {
    const { job, succeed } = createJob({ timeoutMs: 100, target })
    await vi.advanceTimersByTimeAsync(100)
    const error = (await job)._unsafeUnwrapErr()
    expect(error.code).toBe('OUTCOME_UNKNOWN')
    expect(error.cause).toMatchObject({ code: 'TIMEOUT' })
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": it took longer than 100 ms, and can't be cancelled. Ask for the state of the VM: the operation goes on, and may still take place."`,
    )
    expect(job.status).toBe('unknown')
    succeed()
    expect(job.retCode).toBe('OUTCOME_UNKNOWN')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not wait for ever for the confirmation of a host that is gone', async () => {
    const { job, task } = createJob({ timeoutMs: 100 })
    task.cancelWith(() => new Promise<never>(() => undefined))
    await vi.advanceTimersByTimeAsync(100)
    expect(job.status).toBe('running')
    await vi.advanceTimersByTimeAsync(900)
    expect(job.status).toBe('unknown')
    expect((await job)._unsafeUnwrapErr().reason).toBe(
      'it took longer than 100 ms, and its host has not confirmed that it was cancelled',
    )
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends an operation that was not sent yet with TimeoutError, and keeps it from being sent', async () => {
    const { job, task } = createJob({ timeoutMs: 100, target })
    const send = hostTask(task).holdBack()
    const { signal } = task
    await vi.advanceTimersByTimeAsync(1000)
    const error = (await job)._unsafeUnwrapErr()
    expect(error.code).toBe('TIMEOUT')
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": it took longer than 100 ms. Nothing was changed."`,
    )
    expect(signal.aborted).toBe(true)
    expect(send).toThrow(error)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('ends an operation that was held back and then sent with OutcomeUnknownError', async () => {
    const { job, task } = createJob({ timeoutMs: 100 })
    const send = hostTask(task).holdBack()
    send()
    const sendMore = hostTask(task).holdBack()
    await vi.advanceTimersByTimeAsync(100)
    expect((await job)._unsafeUnwrapErr().code).toBe('OUTCOME_UNKNOWN')
    // What follows from what was sent goes on.
    expect(sendMore).not.toThrow()
  })

  test('ends a question that is not answered with TimeoutError', async () => {
    const { job } = createJob({ operation: 'vm.getState', timeoutMs: 100 })
    await vi.advanceTimersByTimeAsync(100)
    expect((await job)._unsafeUnwrapErr().code).toBe('TIMEOUT')
  })

  test('does nothing to a job that ended in time, and leaves no timer', async () => {
    const { job, succeed } = createJob({ timeoutMs: 100 })
    expect(vi.getTimerCount()).toBe(1)
    succeed()
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(200)
    expect(job.retCode).toBe('SUCCESS')
  })

  test('takes the outcome of an operation that ends while it is being stopped', async () => {
    const { job, task, succeed } = createJob<string>({ timeoutMs: 100 })
    task.cancelWith(() => undefined)
    await vi.advanceTimersByTimeAsync(100)
    succeed('just in time')
    expect((await job)._unsafeUnwrap()).toBe('just in time')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('counts the time in line, and sends nothing', async () => {
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    void vm.start()
    const queued = vm.pause({ timeoutMs: 100 })
    await vi.advanceTimersByTimeAsync(100)
    expect((await queued)._unsafeUnwrapErr().code).toBe('TIMEOUT')
    driver.last.succeed('running')
    await vi.advanceTimersByTimeAsync(0)
    expect(driver.operationsCalled).toEqual(['vm.start'])
  })
})

describe('signal', () => {
  test('that is aborted already: nothing is sent', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.start({ signal: AbortSignal.abort() })
    expect(job.retCode).toBe('JOB_CANCELLED')
    expect((await job)._unsafeUnwrapErr().message).toBe('Cannot start VM "web-1": its signal was aborted.')
    expect(driver.calls).toEqual([])
  })

  test('that is aborted during the operation asks for its cancellation', async () => {
    const controller = new AbortController()
    const { driver, vm } = await fakeServer()
    const job = vm.start({ signal: controller.signal })
    const { task, fail } = driver.last
    task.signal.addEventListener('abort', () => fail(task.signal.reason))
    controller.abort()
    expect(job.result).toBeUndefined()
    expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_CANCELLED', reason: 'its signal was aborted' })
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  test('that is aborted during an operation that can not be stopped changes nothing', async () => {
    const controller = new AbortController()
    const { job, succeed } = createJob({ signal: controller.signal })
    controller.abort()
    succeed()
    expect((await job).isOk()).toBe(true)
  })

  test('that is aborted afterwards changes nothing, and has no listener', async () => {
    const controller = new AbortController()
    const { job, succeed } = createJob({ signal: controller.signal })
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
    succeed()
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    controller.abort()
    expect((await job).isOk()).toBe(true)
  })

  test('takes a job out of the line', async () => {
    const controller = new AbortController()
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    void vm.start()
    const queued = vm.pause({ signal: controller.signal })
    controller.abort()
    expect(queued.retCode).toBe('JOB_CANCELLED')
    expect(driver.operationsCalled).toEqual(['vm.start'])
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  test('shared by many jobs has one listener, and stops all of them', () => {
    const controller = new AbortController()
    const jobs = Array.from({ length: 1000 }, () => {
      const { job, task, fail } = createJob({ signal: controller.signal })
      task.cancelWith(() => fail(stopped()))
      return job
    })
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
    controller.abort()
    expect(new Set(jobs.map((job) => job.retCode))).toEqual(new Set(['JOB_CANCELLED']))
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })

  test('one of the jobs that share it ends: the others still hear of it', async () => {
    const controller = new AbortController()
    const first = createJob({ signal: controller.signal })
    const second = createJob({ signal: controller.signal })
    second.task.cancelWith(() => second.fail(stopped()))
    first.succeed()
    controller.abort()
    expect((await second.job)._unsafeUnwrapErr().code).toBe('JOB_CANCELLED')
  })
})

describe('the reason of an abort is the cause of the error', () => {
  const reason = new Error('the user has left')

  test('that was aborted before', async () => {
    const { vm } = await fakeServer()
    const error = (await vm.start({ signal: AbortSignal.abort(reason) }))._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'JOB_CANCELLED', reason: 'its signal was aborted: the user has left' })
    expect(error.cause).toBe(reason)
    const connected = (await connect('embedded:', { signal: AbortSignal.abort(reason) }))._unsafeUnwrapErr()
    expect(connected.cause).toBe(reason)
    const statistics = vm.watchStatistics({ signal: AbortSignal.abort(reason) })
    await expect(statistics.next()).rejects.toMatchObject({ code: 'JOB_CANCELLED', cause: reason })
  })

  test.for(['its signal', 'the error of the host'])('if the driver ends with %s', async (end) => {
    const controller = new AbortController()
    const { driver, vm } = await fakeServer()
    const job = vm.start({ signal: controller.signal })
    const { task, fail } = driver.last
    task.signal.addEventListener('abort', () => fail(end === 'its signal' ? task.signal.reason : stopped()))
    controller.abort(reason)
    const error = (await job)._unsafeUnwrapErr()
    expect([error.code, error.cause]).toEqual(['JOB_CANCELLED', reason])
  })

  test('in line', async () => {
    const controller = new AbortController()
    const { vm } = await fakeServer({ maxConcurrentOperations: 1 })
    void vm.start()
    const queued = vm.pause({ signal: controller.signal })
    controller.abort(reason)
    expect((await queued)._unsafeUnwrapErr().cause).toBe(reason)
  })

  test('so the time of a signal can be told from an abort', async () => {
    const signal = AbortSignal.timeout(1)
    const { job, task, fail } = createJob({ signal })
    task.cancelWith(() => fail(stopped()))
    const error = (await job)._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'JOB_CANCELLED', cause: { name: 'TimeoutError' } })
    expect(error.message).toContain('its signal was aborted: The operation was aborted due to timeout')
    const waited = await createJob().job.wait({ signal })
    expect(waited._unsafeUnwrapErr()).toMatchObject({ code: 'WAIT_ABORTED', cause: { name: 'TimeoutError' } })
  })
})

test('onProgress hears of the progress from the beginning', () => {
  const seen: unknown[] = []
  const { progress, succeed } = createJob({ onProgress: ({ percent }) => seen.push(percent) })
  progress({ percent: 10 })
  succeed()
  expect(seen).toEqual([10, 100])
})

describe('an operation that fails on its own while it is being stopped', () => {
  test('keeps its own error', async () => {
    const { job, task, fail } = createJob()
    task.cancelWith(() => undefined)
    void job.cancel()
    fail(new ResourceBusyError({ reason: 'locked' }))
    expect((await job)._unsafeUnwrapErr().code).toBe('RESOURCE_BUSY')
  })
})
