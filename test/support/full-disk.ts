import type { Server, Vm } from 'awaitvm'
import { expect } from 'vitest'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'

interface FullDisk {
  readonly server: Server
  /** Runs. */
  readonly vm: Vm
  /** Fills the disk, and makes the guest write. */
  fill(): Promise<void>
  makeRoom(): Promise<void>
}

/** What a user sees of a running VM while the host's disk is full, and afterwards. */
export async function expectPauseForRoom({ server, vm, fill, makeRoom }: FullDisk): Promise<void> {
  const log = new EventLog(server.events({ types: ['state'] }))
  await fill()
  expect(await log.until(({ type }) => type === 'state')).toMatchObject({
    state: 'paused',
    previous: 'running',
    reason: 'disk-full',
    message: expect.stringContaining('no room'),
  })
  const expectProblem = async (): Promise<void> => {
    await vm.refresh().unwrap()
    expect(vm.state).toBe('paused')
    expect(vm.problem).toMatchObject({ code: 'INSUFFICIENT_RESOURCES', hint: expect.stringContaining('vm.resume()') })
  }
  await expectProblem()
  expect((await server.getVm(vm.id).unwrap()).problem).toBeDefined()
  for (const job of [vm.sendKeys(['Enter']), vm.pause(), vm.stop()]) {
    const error = await failureOf(job, 'INVALID_STATE')
    expect(error.message).toContain('no room')
    expect(error.state).toBe('paused')
  }
  await failureOf(vm.suspend(), 'INSUFFICIENT_RESOURCES')
  await expectProblem()

  await makeRoom()
  await vm.resume().unwrap()
  expect(vm.problem).toBeUndefined()
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.pause().unwrap()
  await vm.refresh().unwrap()
  expect(vm.problem).toBeUndefined()
  await vm.resume().unwrap()
  await log.close()
}
