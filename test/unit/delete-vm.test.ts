import { setImmediate as turn } from 'node:timers/promises'
import { HostError, InvalidStateError, type Progress } from 'awaitvm'
import { expect, test } from 'vitest'
import { fakeServer } from '../support/fake-server.js'

const isOn = (): InvalidStateError =>
  new InvalidStateError({ reason: 'it is running', state: 'running', expected: ['stopped'] })
const refused = (): HostError =>
  new HostError({ reason: 'the folder is in use', native: { driver: 'fake', message: 'in use' } })

test('by force, a VM at rest is deleted at once', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: true })
  driver.last.succeed()
  await job.unwrap()
  expect(driver.operationsCalled).toEqual(['vm.delete'])
  expect(job).toMatchObject({ operation: 'vm.delete', target: vm.target })
})

test('by force, a VM that is on is killed first: one job, with one progress', async () => {
  const { driver, vm } = await fakeServer()
  const seen: Progress[] = []
  const job = vm.delete({ force: true, onProgress: (progress) => seen.push(progress) })
  driver.last.fail(isOn())
  await turn()
  expect(driver.last).toMatchObject({ operation: 'vm.stop', input: { vm: vm.id, mode: 'kill' } })
  driver.last.task.progress({ percent: 50, phase: 'ending it' })
  driver.last.succeed()
  await turn()
  expect(vm.state).toBe('stopped')
  expect(driver.last.operation).toBe('vm.delete')
  driver.last.succeed()
  await job.unwrap()
  expect(seen.map(({ percent, phase }) => [percent, phase])).toEqual([
    [0, 'deleting'],
    [10, 'taking the power away'],
    [30, 'ending it'],
    [50, 'ending it'],
    [50, 'deleting'],
    [99, 'deleting'],
    [100, 'deleting'],
  ])
})

test('without force, a VM that is on is refused', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: false })
  driver.last.fail(isOn())
  expect((await job)._unsafeUnwrapErr().code).toBe('INVALID_STATE')
  expect(driver.operationsCalled).toEqual(['vm.delete'])
})

test('a kill that fails ends the job with its error, and nothing is deleted', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: true })
  driver.last.fail(isOn())
  await turn()
  driver.last.fail(refused())
  const error = (await job)._unsafeUnwrapErr()
  expect(error.message).toBe('Cannot delete VM "web-1": the folder is in use.')
  expect(driver.operationsCalled).toEqual(['vm.delete', 'vm.stop'])
})

test('a deletion that fails after the kill tells that the power was taken away', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: true })
  driver.last.fail(isOn())
  await turn()
  driver.last.succeed()
  await turn()
  driver.last.fail(refused())
  const error = (await job)._unsafeUnwrapErr()
  expect(error).toMatchObject({ code: 'HOST_ERROR', operation: 'vm.delete', native: { message: 'in use' } })
  expect(error.message).toBe(
    'Cannot delete VM "web-1": the folder is in use. The power of the VM had been taken away before.',
  )
})

test('a job that is cancelled while it kills the VM does not delete it', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: true })
  driver.last.fail(isOn())
  await turn()
  const cancelling = job.cancel('not needed')
  await turn()
  driver.last.succeed()
  expect((await cancelling).isOk()).toBe(true)
  expect((await job)._unsafeUnwrapErr()).toMatchObject({
    code: 'JOB_CANCELLED',
    reason: 'not needed',
    hint: 'The power of the VM had been taken away before.',
  })
  expect(driver.operationsCalled).toEqual(['vm.delete', 'vm.stop'])
})

test("the deletion itself can't be cancelled if the host can't stop it", async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.delete({ force: true })
  expect((await job.cancel())._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
  driver.last.succeed()
  expect((await job).isOk()).toBe(true)
})

test('needs an operation that kills', async () => {
  const { driver, vm } = await fakeServer({ only: ['server.getVm', 'vm.delete'] })
  const job = vm.delete({ force: true })
  expect(job.result?._unsafeUnwrapErr()).toMatchObject({ code: 'NOT_SUPPORTED', capability: 'vm.stop' })
  expect(driver.calls).toEqual([])
})

test('refuses options that are wrong', async () => {
  const { driver, vm } = await fakeServer()
  for (const options of [{ force: 1 }, { forced: true }, null] as never[]) {
    expect(vm.delete(options).retCode).toBe('INVALID_ARGUMENT')
  }
  expect(driver.calls).toEqual([])
})
