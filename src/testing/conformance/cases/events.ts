import { expect } from 'vitest'
import { operations, type OperationSpec } from '../../../operations.js'
import type { VmEvent } from '../../../model/vm-event.js'
import type { VmState } from '../../../model/vm-state.js'
import { wallClockMs } from '../../../clock.js'
import { EventLog } from '../event-log.js'
import { within } from '../deadline.js'
import type { Cases } from '../case.js'

/** The transient states. */
const transient = new Set<VmState>(Object.values(operations).flatMap((spec: OperationSpec) => spec.through ?? []))

export const events: Cases = ({ host, promises }) => {
  promises(
    'the events of a life are complete and in order',
    ['vm.start', 'vm.pause', 'vm.resume', 'vm.suspend', 'vm.stop', 'vm.edit', 'vm.delete', 'guest'],
    async (trial) => {
      const log = trial.events()
      const vm = await trial.createVm()
      await trial.startVm(vm)
      await vm.pause().unwrap()
      await vm.resume().unwrap()
      await vm.suspend().unwrap()
      await vm.resume().unwrap()
      await vm.stop().unwrap()
      await vm.edit({ description: 'done' }).unwrap()
      await vm.delete().unwrap()
      await log.until(({ type }) => type === 'deleted')

      expect(log.events.map(({ type }) => type).filter((type) => type !== 'state')).toEqual([
        'created',
        'config',
        'deleted',
      ])
      expect(log.events[0]).toMatchObject({ type: 'created', vmId: vm.id, name: vm.name })
      expect(log.events.at(-1)).toMatchObject({ type: 'deleted', vmId: vm.id, name: vm.name })
      const isSettled = (state: VmState): boolean => !transient.has(state)
      expect(log.states.filter(isSettled)).toEqual(['running', 'paused', 'running', 'suspended', 'running', 'stopped'])
      expectChain(log.events, 'stopped')
    },
  )

  promises('an event has the VM, the time and the reason', ['vm.start', 'vm.stop', 'guest'], async (trial) => {
    const log = trial.events()
    const started = wallClockMs()
    const { vm, guest } = await trial.runningVm()
    await vm.stop({ mode: 'kill' }).unwrap()
    const killed = await log.until((event) => event.type === 'state' && event.state === 'stopped')
    expect(killed).toMatchObject({ vmId: vm.id, name: vm.name, reason: 'request' })
    for (const { at } of log.events) {
      expect(at.getTime()).toBeGreaterThanOrEqual(started - 2000)
      expect(at.getTime()).toBeLessThanOrEqual(wallClockMs() + 2000)
    }
    guest.close()
  })

  promises(
    'when an event of a new state arrives, the host reports that state',
    ['vm.start', 'vm.stop'],
    async (trial) => {
      const vm = await trial.createVm()
      const log = trial.events({ vmId: vm.id, types: ['state'] })
      const starting = vm.start()
      await log.until((event) => event.type === 'state' && event.state === 'running')
      expect(vm.state).toBe('running')
      expect(await vm.getState().unwrap()).toBe('running')
      await starting.unwrap()
    },
  )

  promises('events can be filtered by VM and by type', ['vm.start', 'vm.edit'], async (trial) => {
    const first = await trial.createVm()
    const second = await trial.createVm()
    const ofFirst = trial.events({ vmId: first.id })
    const ofConfig = trial.events({ types: ['config'] })
    await first.edit({ description: '1' }).unwrap()
    await second.edit({ description: '2' }).unwrap()
    await second.start().unwrap()
    await first.edit({ description: '3' }).unwrap()
    await ofFirst.close()
    await ofConfig.close()
    expect(ofFirst.events.map((event) => [event.type, 'vmId' in event && event.vmId])).toEqual([
      ['config', first.id],
      ['config', first.id],
    ])
    expect(ofConfig.events.map((event) => 'vmId' in event && event.vmId)).toEqual([first.id, second.id, first.id])
  })

  promises(
    'snapshots and clones have events',
    ['vm.createSnapshot', 'vm.deleteSnapshot', 'vm.clone'],
    async (trial) => {
      const vm = await trial.createVm()
      const log = trial.events({ types: ['snapshots', 'created'] })
      const { id } = await vm.createSnapshot({ name: 'here' }).unwrap()
      await vm.deleteSnapshot(id).unwrap()
      const copy = await vm.clone({ name: 'copy' }).unwrap()
      await log.close()
      expect(log.events.map((event) => [event.type, 'vmId' in event && event.vmId])).toEqual([
        ['snapshots', vm.id],
        ['snapshots', vm.id],
        ['created', copy.id],
      ])
    },
  )

  promises(
    'an operation that fails leaves the state unchanged, in the events too',
    ['vm.start', 'vm.resume'],
    async (trial) => {
      const vm = await trial.createVm()
      const log = trial.events({ vmId: vm.id })
      await vm.resume()
      await vm.start().unwrap()
      await vm.start()
      await log.close()
      expect(log.states.at(-1)).toBe('running')
      expectChain(log.events, 'stopped')
    },
  )

  promises('every reader gets every event, and leaving the loop ends its subscription', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm()
    const [first, second] = [trial.events(), trial.events()]
    const leaving = (async () => {
      for await (const event of trial.server.events()) return event
      return undefined
    })()
    await vm.edit({ description: '1' }).unwrap()
    expect((await leaving)?.type).toBe('config')
    await first.close()
    await vm.edit({ description: '2' }).unwrap()
    await second.close()
    expect([first.events.length, second.events.length]).toEqual([1, 2])
  })

  // Ten thousand edits take too long on a host that writes them to disk.
  if (!host.keepsVms) {
    promises('a reader that is too slow gets the number of events that it missed', ['vm.edit'], async (trial) => {
      const vm = await trial.createVm()
      const reader = trial.server.events()
      for (let count = 0; count < 10_005; count += 1) await vm.edit({ description: String(count) }).unwrap()
      let last: VmEvent | undefined
      for (let count = 0; count <= 10_000; count += 1) last = (await reader.next()).value
      expect(last).toMatchObject({ type: 'overflow', dropped: 5 })
      await reader.return()
    })
  }

  promises('events end when the server is closed', ['server.getVmList'], async (trial) => {
    const log = new EventLog(trial.server.events())
    await trial.createVm()
    await trial.server.close().unwrap()
    await within(log.ended, () => 'the end of the events')
    expect(log.events.map(({ type }) => type)).toContain('created')
    const later = new EventLog(trial.server.events())
    await within(later.ended, () => 'the end of events that begin after the close')
  })
}

/** Asserts that each state event names the state before it, and that no two in a row have the same state. */
function expectChain(log: readonly VmEvent[], first: VmState): void {
  let state = first
  for (const event of log) {
    if (event.type !== 'state') continue
    expect(event.state).not.toBe(state)
    if (event.previous !== undefined) expect(event.previous).toBe(state)
    state = event.state
  }
}
