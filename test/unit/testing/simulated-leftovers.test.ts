import { createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { collectUntil, heapUsed } from '../../support/garbage-collection.js'
import { openResources } from '../../../src/testing/conformance/open-resources.js'
import { activeTimers } from '../../support/timers.js'
import { uncaughtIn } from '../../support/uncaught.js'

test('a host whose connections are closed leaves no timer, and no unhandled rejection', async () => {
  const timers = activeTimers()
  const resources = openResources()
  const errors = await uncaughtIn(async () => {
    const simulated = createSimulatedServer({
      vms: [{ name: 'web-1', state: 'running' }, { name: 'web-2' }],
      clock: 'real',
      latency: { 'vm.start': 60_000 },
      faults: [
        { operation: 'vm.pause', kind: 'hang' },
        { operation: 'vm.edit', kind: 'lostConnection', forMs: 60_000, tells: true },
      ],
    })
    simulated.onExec(async ({ sleep }) => {
      await sleep(60_000)
      return {}
    })
    const { server } = simulated
    const [first, second] = [await server.getVm('web-1').unwrap(), await server.getVm('web-2').unwrap()]
    const console = first.console()
    console.resume()
    const jobs = [
      first.guest.exec(['sleep']),
      first.pause(),
      second.start(),
      second.waitForState('running'),
      first.edit({ description: 'x' }),
    ]
    await server.close().unwrap()
    simulated.vm('web-1').crash()
    for (const job of jobs) expect((await job).isErr()).toBe(true)
    await simulated[Symbol.asyncDispose]()
  })
  expect(errors).toEqual([])
  expect(activeTimers()).toBe(timers)
  expect(openResources()).toEqual(resources)
})

test('an operation that fails after the last connection was closed causes no unhandled rejection', async () => {
  const errors = await uncaughtIn(async () => {
    const { server, clock } = createSimulatedServer({ vms: 2, latency: { 'vm.start': 100, 'vm.clone': 100 } })
    const vms = await server.getVmList().unwrap()
    void vms[0]!.start()
    void vms[1]!.clone({ name: 'taken' })
    void server.createVm({ name: 'taken' })
    await server.close().unwrap()
    await clock.advance(100)
  })
  expect(errors).toEqual([])
})

test('a hundred thousand operations leave the log, and nothing else', async () => {
  const { server, calls } = createSimulatedServer({ vms: 1, maxCalls: 100 })
  const vm = await server.getVm('vm-1').unwrap()
  const work = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 4) {
      await vm.start().unwrap()
      await vm.getState().unwrap()
      await vm.edit({ description: String(done) }).unwrap()
      await vm.stop().unwrap()
    }
  }
  await work(4000)
  const before = await heapUsed()
  await work(100_000)
  expect((await heapUsed()) - before).toBeLessThan(1_000_000)
  expect([calls.length, calls.dropped]).toEqual([100, 103_901])
  await server.close().unwrap()
})

test('a VM that was deleted is not kept', async () => {
  const { server } = createSimulatedServer()
  let collected = 0
  const registry = new FinalizationRegistry(() => {
    collected += 1
  })
  const liveAndDie = async (name: string): Promise<void> => {
    const vm = await server.createVm({ name }).unwrap()
    await vm.start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.delete().unwrap()
    registry.register(vm.config, undefined)
  }
  for (let count = 0; count < 10; count += 1) await liveAndDie(`vm-${count}`)
  expect(await collectUntil(() => collected === 10)).toBe(true)
  await server.close().unwrap()
})
