import { setTimeout as delay } from 'node:timers/promises'
import { Job, ResourceBusyError, type VmEvent } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { EventLog } from '../../../src/testing/conformance/event-log.js'

/** A day in the life of ten VMs, with latencies, faults and guests that do something by themselves. */
async function lifeOf(seed: number, disturb: () => Promise<unknown> = () => Promise.resolve()): Promise<string> {
  const simulated = createSimulatedServer({
    vms: 10,
    seed,
    latency: [10, 200],
    faults: [
      {
        kind: 'error',
        probability: 0.1,
        operation: 'vm.start',
        error: () => new ResourceBusyError({ reason: 'busy' }),
      },
      { kind: 'slow', probability: 0.2, latency: [500, 1000] },
      { kind: 'crash', probability: 0.1, moment: 'during' },
      { kind: 'crash', probability: 0.1, moment: 'after', afterMs: 300 },
      { kind: 'interference', probability: 0.1, change: 'stop' },
      { kind: 'lostConnection', probability: 0.02, done: true, forMs: 100, tells: true },
    ],
  })
  const { server, clock, calls } = simulated
  const log = new EventLog(server.events())
  const progress: unknown[] = []
  const work = (async () => {
    const found = await server.getVmList()
    if (found.isErr()) return
    await Job.all(
      found.value.map((vm) => vm.start({ onProgress: ({ percent }) => progress.push([vm.name, percent, clock.now]) })),
    )
    for (const vm of found.value) {
      await vm.createSnapshot({ name: 'now' })
      await vm.clone({ name: `${vm.name}-copy` })
      await vm.edit({ boot: { kernel: '/no/such/kernel' } })
      await Promise.all([vm.pause(), vm.resume(), vm.stop()])
    }
    await server.createVm({ name: 'last' })
  })()
  while (await clock.next()) await disturb()
  await work
  await log.close()
  const events: VmEvent[] = log.events
  const left = [...calls]
  await simulated[Symbol.asyncDispose]()
  return JSON.stringify({ left, events, progress, now: clock.now })
}

test('the same seed gives the same calls, events and progress, however fast the machine is', async () => {
  const first = await lifeOf(1)
  // Not `toBe`: it would show them both, whole.
  expect((await lifeOf(1)) === first).toBe(true)
  expect((await lifeOf(1, () => delay(1))) === first).toBe(true)
  expect(first.length).toBeGreaterThan(10_000)
})

test('another seed gives other ids and latencies', async () => {
  expect((await lifeOf(2)) === (await lifeOf(3))).toBe(false)
})
