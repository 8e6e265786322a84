import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { VmNotFoundError } from 'awaitvm'
import { stateEvent } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'

const eventful = { features: new Set(['server.events.global'] as const) }

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

describe('a host that tells of everything', () => {
  test('is asked once, and then listened to', async () => {
    const { driver, vm } = await fakeServer(eventful)
    const job = vm.waitForState(['running', 'crashed'])
    driver.last.succeed('starting')
    await vi.advanceTimersByTimeAsync(10_000)
    driver.emit(stateEvent('stopping'))
    driver.emit(stateEvent('crashed', 'other'))
    driver.emit({ type: 'overflow', dropped: 1, at: new Date(0) })
    expect(job.status).toBe('running')
    driver.emit(stateEvent('crashed'))
    expect((await job)._unsafeUnwrap()).toBe('crashed')
    expect(vm.state).toBe('crashed')
    expect(driver.operationsCalled).toEqual(['vm.getState'])
    expect(driver.subscribers).toBe(1)
  })

  test('and says that it is there already', async () => {
    const { driver, vm } = await fakeServer(eventful)
    const job = vm.waitForState('stopped')
    driver.last.succeed('stopped')
    expect((await job)._unsafeUnwrap()).toBe('stopped')
    expect(driver.subscribers).toBe(1)
  })

  test('a VM that is deleted during the wait is not waited for', async () => {
    const { driver, vm } = await fakeServer(eventful)
    const job = vm.waitForState('running')
    driver.emit({ type: 'deleted', vmId: vm.id, name: vm.name, at: new Date(0) })
    expect(driver.calls).toHaveLength(2)
    driver.calls[0]?.succeed('stopped')
    driver.calls[1]?.fail(new VmNotFoundError({ reason: 'there is no such VM' }))
    expect((await job)._unsafeUnwrapErr().code).toBe('VM_NOT_FOUND')
    expect(driver.subscribers).toBe(1)
  })
})

describe('a host that does not', () => {
  test('is asked again and again, one question at a time', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.waitForState('running')
    await vi.advanceTimersByTimeAsync(5000)
    expect(driver.calls).toHaveLength(1)
    driver.last.succeed('starting')
    await vi.advanceTimersByTimeAsync(500)
    expect(driver.calls).toHaveLength(2)
    driver.last.succeed('running')
    expect((await job)._unsafeUnwrap()).toBe('running')
    expect(vi.getTimerCount()).toBe(0)
    expect(driver.subscribers).toBe(1)
  })
})

test('can be cancelled, and leaves nothing', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.waitForState('running', { timeoutMs: 60_000 })
  expect(job.isCancelable).toBe(true)
  expect((await job.cancel('never mind')).isOk()).toBe(true)
  expect((await job)._unsafeUnwrapErr().message).toBe('Cannot wait for a state of VM "web-1": never mind.')
  expect(vi.getTimerCount()).toBe(0)
  expect(driver.subscribers).toBe(1)
})

test('its timeout ends it with TimeoutError', async () => {
  const { vm } = await fakeServer()
  const job = vm.waitForState('running', { timeoutMs: 1000 })
  await vi.advanceTimersByTimeAsync(1000)
  expect((await job)._unsafeUnwrapErr().code).toBe('TIMEOUT')
  expect(vi.getTimerCount()).toBe(0)
})

test('a server that is closed leaves no timer of it', async () => {
  const { driver, server, vm } = await fakeServer()
  const job = vm.waitForState('running')
  await server.close()
  expect((await job).isErr()).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
  expect(driver.subscribers).toBe(0)
})
