import { setImmediate as turn } from 'node:timers/promises'
import {
  GuestUnavailableError,
  HostError,
  InvalidStateError,
  JobCancelledError,
  OutcomeUnknownError,
  TimeoutError,
  type VmError,
} from 'awaitvm'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { fakeServer } from '../support/fake-server.js'

afterEach(() => {
  expect(vi.isFakeTimers() ? vi.getTimerCount() : 0).toBe(0)
  vi.useRealTimers()
})

describe('thenKill', () => {
  test('a guest that shuts down in time is not killed', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ timeoutMs: 30_000, thenKill: true })
    expect(driver.last).toMatchObject({ operation: 'vm.stop', input: { vm: vm.id, mode: 'shutdown' } })
    driver.last.succeed()
    expect(await job.unwrap()).toBe('shutdown')
    expect(vm.state).toBe('stopped')
    expect(driver.calls).toHaveLength(1)
  })

  test('a guest that does not shut down in timeoutMs is killed: one job, which tells so', async () => {
    vi.useFakeTimers()
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ timeoutMs: 30_000, thenKill: true })
    const { last: asked } = driver
    asked.task.cancelWith(() => {
      asked.fail(new JobCancelledError({ reason: 'the host has withdrawn it' }))
    })
    await vi.advanceTimersByTimeAsync(29_999)
    expect(driver.calls).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(driver.last.input).toEqual({ vm: vm.id, mode: 'kill' })
    driver.last.succeed()
    expect(await job.unwrap()).toBe('kill')
    expect(vm.state).toBe('stopped')
  })

  test('so is one whose shutdown the host can not withdraw', async () => {
    vi.useFakeTimers()
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ timeoutMs: 1000, thenKill: true })
    await vi.advanceTimersByTimeAsync(1800)
    expect(driver.last.input).toEqual({ vm: vm.id, mode: 'kill' })
    driver.last.succeed()
    expect(await job.unwrap()).toBe('kill')
  })

  test.for<[string, VmError]>([
    ['that can not be asked', new GuestUnavailableError({ reason: 'it has no power button' })],
    ['that has noticed, and not shut down', new OutcomeUnknownError({ reason: 'it said nothing' })],
    ["whose host's own time is over", new TimeoutError({ reason: 'it took too long' })],
  ])('a guest %s is killed at once', async ([, error]) => {
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ thenKill: true })
    driver.last.fail(error)
    await turn()
    driver.last.succeed()
    expect(await job.unwrap()).toBe('kill')
  })

  test('any other error of the shutdown ends the job, and nothing is killed', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ thenKill: true })
    driver.last.fail(new InvalidStateError({ reason: 'it is paused', state: 'paused', expected: ['running'] }))
    expect((await job)._unsafeUnwrapErr().message).toBe('Cannot stop VM "web-1": it is paused.')
    expect(driver.calls).toHaveLength(1)
  })

  test('a kill that fails tells that the guest had been asked before', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ thenKill: true })
    driver.last.fail(new TimeoutError({ reason: 'it took too long' }))
    await turn()
    driver.last.fail(new HostError({ reason: 'no', native: { driver: 'fake', message: 'no' } }))
    expect((await job)._unsafeUnwrapErr().message).toBe(
      'Cannot stop VM "web-1": no. Its guest had been asked to shut down before.',
    )
  })

  test('a job that is cancelled before the time is over kills nothing', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.stop({ thenKill: true })
    const { last: asked } = driver
    asked.task.cancelWith(() => {
      asked.fail(new JobCancelledError({ reason: 'the host has withdrawn it' }))
    })
    expect((await job.cancel('wait').wait()).isOk()).toBe(true)
    expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_CANCELLED', reason: 'wait' })
    expect(driver.calls).toHaveLength(1)
  })

  test('a host that hangs does not hold the job up: its time is that of the shutdown and of a kill', async () => {
    vi.useFakeTimers()
    const { vm } = await fakeServer()
    const job = vm.stop({ timeoutMs: 1000, thenKill: true })
    await vi.advanceTimersByTimeAsync(61_800)
    expect((await job)._unsafeUnwrapErr().code).toBe('OUTCOME_UNKNOWN')
  })

  test.for<[string, object, string]>([
    ['with mode kill', { mode: 'kill', thenKill: true }, 'options.thenKill'],
    ['that is no boolean', { thenKill: 1 }, 'options.thenKill'],
    ['with a negative time', { thenKill: true, timeoutMs: -1 }, 'timeoutMs'],
    ['without a time', { thenKill: true, timeoutMs: null }, 'timeoutMs'],
  ])('%s is refused', async ([, options, path]) => {
    const { driver, vm } = await fakeServer()
    const { result } = vm.stop(options)
    expect(result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path })
    expect(driver.calls).toEqual([])
  })
})
