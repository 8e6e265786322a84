import { setImmediate as turn } from 'node:timers/promises'
import { GuestUnavailableError, JobCancelledError, ResourceBusyError, type Progress } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeServer, type FakeServer } from '../support/fake-server.js'

const hint = 'The VM was started: wait again with vm.guest.waitUntilReady(), or stop it with vm.stop().'

/** Ends the start, so that the job waits for the guest; the guest can be cancelled. */
async function startIn({ driver }: FakeServer): Promise<void> {
  driver.last.succeed()
  await turn()
  expect(driver.last.operation).toBe('guest.waitUntilReady')
  const { task, fail } = driver.last
  task.cancelWith(() => {
    fail(new JobCancelledError({ reason: 'the wait was cancelled' }))
  })
}

describe("until: 'ready'", () => {
  test('starts the VM and waits for its guest: one job, with progress through both', async () => {
    const fake = await fakeServer()
    const { driver, vm } = fake
    const seen: Progress[] = []
    const job = vm.start({ until: 'ready', onProgress: (progress) => seen.push(progress) })
    expect(job).toMatchObject({ operation: 'vm.start', target: vm.target })
    driver.last.task.progress({ percent: 40, phase: 'loading memory' })
    await startIn(fake)
    expect(vm.state).toBe('running')
    expect(job.status).toBe('running')
    expect(driver.last.input).toEqual({ vm: vm.id })
    driver.last.task.progress({ percent: 10, phase: 'waiting for cloud-init' })
    driver.last.succeed()
    await job.unwrap()
    expect(seen.map(({ percent, phase }) => [percent, phase])).toEqual([
      [0, 'starting'],
      [20, 'loading memory'],
      [50, 'loading memory'],
      [50, 'waiting until the guest is ready'],
      [55, 'waiting for cloud-init'],
      [99, 'waiting for cloud-init'],
      [100, 'waiting for cloud-init'],
    ])
  })

  test('a start that fails ends the job', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.start({ until: 'ready' })
    driver.last.fail(new ResourceBusyError({ reason: 'another process has it' }))
    expect((await job)._unsafeUnwrapErr().message).toBe('Cannot start VM "web-1": another process has it.')
    expect(driver.operationsCalled).toEqual(['vm.start'])
  })

  test('a guest that can not be waited for: the error tells that the VM was started', async () => {
    const fake = await fakeServer()
    const job = fake.vm.start({ until: 'ready' })
    await startIn(fake)
    fake.driver.last.fail(new GuestUnavailableError({ reason: 'it has no agent', hint: 'Install one.' }))
    const error = (await job)._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'GUEST_UNAVAILABLE', operation: 'vm.start', hint: `${hint} Install one.` })
    expect(error.message).toBe(`Cannot start VM "web-1": it has no agent. ${hint} Install one.`)
  })

  test('cancelled while it waits for the guest: the VM was started, and the error tells so', async () => {
    const fake = await fakeServer()
    const job = fake.vm.start({ until: 'ready' })
    await startIn(fake)
    expect((await job.cancel('not needed')).isOk()).toBe(true)
    expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_CANCELLED', reason: 'not needed', hint })
    expect(fake.vm.state).toBe('running')
  })

  test('cancelled while the VM starts, on a host that can not stop that: nothing is waited for', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.start({ until: 'ready' })
    const cancelling = job.cancel()
    await turn()
    driver.last.succeed()
    expect((await cancelling).isOk()).toBe(true)
    expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_CANCELLED', hint })
    expect(driver.operationsCalled).toEqual(['vm.start'])
  })

  test('timeoutMs is the time of both', async () => {
    const fake = await fakeServer()
    const job = fake.vm.start({ until: 'ready', timeoutMs: 50 })
    await startIn(fake)
    expect((await job)._unsafeUnwrapErr()).toMatchObject({
      code: 'TIMEOUT',
      reason: 'it took longer than 50 ms',
      hint,
    })
  })

  test('needs a host that can wait for guests: nothing is started', async () => {
    const { driver, vm } = await fakeServer({ only: ['server.getVm', 'vm.start'] })
    const { result } = vm.start({ until: 'ready' })
    expect(result?._unsafeUnwrapErr()).toMatchObject({
      code: 'NOT_SUPPORTED',
      capability: 'guest.waitUntilReady',
    })
    expect(driver.calls).toEqual([])
  })
})

test("until: 'running' is the default", async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.start({ until: 'running' })
  driver.last.succeed()
  expect((await job).isOk()).toBe(true)
  expect(driver.operationsCalled).toEqual(['vm.start'])
})

test('other options are refused', async () => {
  const { driver, vm } = await fakeServer()
  for (const options of [{ until: 'booted' }, { untill: 'ready' }, null] as never[]) {
    expect(vm.start(options).retCode).toBe('INVALID_ARGUMENT')
  }
  expect(driver.calls).toEqual([])
})
