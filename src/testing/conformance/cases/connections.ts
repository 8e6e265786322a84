import { expect } from 'vitest'
import { connect } from '../../../connect.js'
import { EventLog } from '../event-log.js'
import { patience } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { vmCalls, type VmOperation } from '../calls.js'
import { needsOf } from '../reachable-states.js'
import type { Cases } from '../case.js'

/** Several connections to one host at the same time. */
export const connections: Cases = ({ host, promises }) => {
  promises('events report what any connection does', ['server.events.global', 'vm.start', 'vm.edit'], async (trial) => {
    const first = trial.server
    const second = host.keepsVms ? await trial.connectAgain() : first
    const log = new EventLog(second.events())
    const vm = await first.createVm({ ...trial.profile.spec, name: 'of-the-first' }).unwrap()
    await log.until((event) => event.type === 'created' && event.vmId === vm.id)
    // Makes sure that the other connection has seen the VM as it was before.
    await vm.edit({ description: 'edited' }).unwrap()
    await log.until((event) => event.type === 'config' && event.vmId === vm.id)
    await vm.start().unwrap()
    await log.until((event) => event.type === 'state' && event.vmId === vm.id && event.state === 'running')
  })

  if (!host.keepsVms) {
    promises('each connection has VMs of its own', ['server.createVm'], async (trial) => {
      const vm = await trial.createVm()
      await using other = await connect(trial.server.uri).unwrap()
      expect(await other.getVmList().unwrap()).toEqual([])
      await failureOf(other.getVm(vm.id), 'VM_NOT_FOUND')
      await other.createVm({ ...trial.profile.spec, name: vm.name }).unwrap()
      expect(await trial.server.getVmList().unwrap()).toEqual([vm])
    })
    return
  }

  promises(
    'a connection sees the VMs that another one creates, edits and deletes',
    ['vm.edit', 'vm.delete'],
    async (trial) => {
      const vm = await trial.createVm()
      const other = await trial.connectAgain()
      const seen = await other.getVm(vm.name).unwrap()
      expect({ id: seen.id, config: seen.config }).toEqual({ id: vm.id, config: vm.config })
      await vm.edit({ name: 'renamed' }).unwrap()
      expect((await seen.refresh().unwrap()).name).toBe('renamed')
      await seen.edit({ description: 'by the other' }).unwrap()
      expect((await vm.refresh().unwrap()).description).toBe('by the other')
      await seen.delete().unwrap()
      expect(await trial.opened.server.getVmList().unwrap()).toEqual([])
    },
  )

  promises('a name that one connection has taken is taken for all', ['server.createVm'], async (trial) => {
    const first = trial.server
    const second = await trial.connectAgain()
    const attempts = [first, second, first, second].map((server) =>
      server.createVm({ ...trial.profile.spec, name: 'wanted' }),
    )
    const results = await Promise.all(attempts)
    expect(results.filter((result) => result.isOk())).toHaveLength(1)
    for (const result of results) if (result.isErr()) expect(result.error.code).toBe('ALREADY_EXISTS')
    expect(await first.getVmList().unwrap()).toHaveLength(1)
    expect(await second.getVmList().unwrap()).toHaveLength(1)
  })

  for (const state of ['running', 'paused'] as const) {
    promises(`the other connection sees that a VM is ${state}`, ['vm.getState', ...needsOf(state)], async (trial) => {
      const vm = await trial.vmIn(state)
      const other = await trial.connectAgain()
      expect(await (await other.getVm(vm.id).unwrap()).getState().unwrap()).toBe(state)
      expect(await other.getVmList({ state }).unwrap()).toHaveLength(1)
      expect(await other.getVmList({ state: 'stopped' }).unwrap()).toEqual([])
    })
  }

  promises('of two connections that start a VM at once, one succeeds', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const other = await trial.connectAgain()
    const seen = await other.getVm(vm.id).unwrap()
    const results = await Promise.all([vm.start(), seen.start()])
    expect(results.filter((result) => result.isOk())).toHaveLength(1)
    for (const result of results)
      if (result.isErr()) expect(['INVALID_STATE', 'RESOURCE_BUSY']).toContain(result.error.code)
    expect([await vm.getState().unwrap(), await seen.getState().unwrap()]).toEqual(['running', 'running'])
  })

  promises(
    'waiting for a state ends when another connection brings it about',
    ['vm.waitForState', 'vm.start'],
    async (trial) => {
      const vm = await trial.createVm()
      const other = await trial.connectAgain()
      const waiting = (await other.getVm(vm.id).unwrap()).waitForState('running', patience)
      await vm.start().unwrap()
      expect(await waiting.unwrap()).toBe('running')
    },
  )

  if (host.sharesRunningVms) {
    promises(
      'a VM that one connection started can be worked on by the other',
      ['vm.start', 'vm.stop', 'guest'],
      async (trial) => {
        const { vm, guest } = await trial.runningVm()
        const other = await trial.connectAgain()
        const seen = await other.getVm(vm.id).unwrap()
        expect(await trial.talkTo(seen).count()).toBe(1)
        expect(await guest.count()).toBe(2)
        await seen.stop().unwrap()
        expect(await vm.getState().unwrap()).toBe('stopped')
      },
    )
    return
  }

  const refused = [
    'vm.stop',
    'vm.pause',
    'vm.suspend',
    'vm.reset',
    'vm.edit',
    'vm.clone',
    'vm.createSnapshot',
    'vm.getStatistics',
    'vm.screenshot',
    'vm.sendKeys',
    'vm.console',
  ] as const satisfies VmOperation[]
  for (const operation of refused) {
    promises(
      `${operation} of a VM that another connection runs ends with RESOURCE_BUSY, and nothing is changed`,
      [operation, ...needsOf('running')],
      async (trial) => {
        const { vm, guest } = await trial.runningVm()
        const other = await trial.connectAgain()
        const seen = await other.getVm(vm.id).unwrap()
        const before = seen.config
        const error = await failureOf(vmCalls[operation](seen, trial), 'RESOURCE_BUSY')
        expect(error.retryable).toBe(true)
        expect(error.hint).toBeTruthy()
        expect(error.pid).toBe(process.pid)
        await trial.expectState(vm, 'running')
        expect(await guest.count()).toBe(1)
        expect(await vm.refresh().unwrap()).toEqual(before)
        expect(await other.getVmList().unwrap()).toHaveLength(1)
      },
    )
  }

  promises(
    'a VM is free for another connection once the first has stopped it',
    ['vm.start', 'vm.stop', 'guest'],
    async (trial) => {
      const { vm } = await trial.runningVm()
      const other = await trial.connectAgain()
      const seen = await other.getVm(vm.id).unwrap()
      await failureOf(seen.start(), 'RESOURCE_BUSY', 'INVALID_STATE')
      await vm.stop().unwrap()
      await trial.startVm(seen)
      await failureOf(vm.start(), 'RESOURCE_BUSY', 'INVALID_STATE')
    },
  )
}
