import { expect } from 'vitest'
import { EventLog } from '../event-log.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import { needsOf, reachableStates } from '../reachable-states.js'
import type { Cases } from '../case.js'

/** VMs that end with the connection that made them. */
export const ephemeral: Cases = ({ host, promises }) => {
  if (refusedPathOf(host, 'spec.ephemeral') !== undefined) return

  promises('"await using" deletes an ephemeral VM at the end of its scope, and keeps others', [], async (trial) => {
    const kept = await trial.createVm()
    {
      await using vm = await trial.createVm({ ephemeral: true })
      await using alsoKept = kept
      expect(vm.config.ephemeral).toBe(true)
      expect(alsoKept.config.ephemeral).toBeUndefined()
    }
    expect(await trial.server.getVmList().unwrap()).toEqual([kept])
  })

  for (const state of reachableStates(host)) {
    promises(`"await using" deletes an ephemeral VM that is ${state}`, needsOf(state), async (trial) => {
      {
        await using vm = await trial.vmIn(state, { ephemeral: true })
        expect(vm.state).toBe(state)
      }
      expect(await trial.server.getVmList().unwrap()).toEqual([])
      expect((await trial.opened.files?.()) ?? []).toEqual([])
    })
  }

  promises(
    '"await using" of a VM that is gone, or whose server is closed, does nothing',
    ['vm.delete'],
    async (trial) => {
      {
        await using deleted = await trial.createVm({ ephemeral: true })
        await using left = await trial.createVm({ ephemeral: true })
        await deleted.delete().unwrap()
        await trial.server.close().unwrap()
        expect(left.config.ephemeral).toBe(true)
      }
    },
  )

  promises('"await using" keeps a VM that an edit has made no longer ephemeral', ['vm.edit'], async (trial) => {
    {
      await using vm = await trial.createVm({ ephemeral: true })
      expect((await vm.edit({ ephemeral: false }).unwrap()).ephemeral).toBeUndefined()
    }
    expect(await trial.server.getVmList().unwrap()).toHaveLength(1)
  })

  promises('a clone of an ephemeral VM is kept', ['vm.clone'], async (trial) => {
    const vm = await trial.createVm({ ephemeral: true })
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    expect(copy.config.ephemeral).toBeUndefined()
  })

  promises('a clone is ephemeral if it is to be, whatever its original is', ['vm.clone.ephemeral'], async (trial) => {
    const vm = await trial.createVm()
    const copy = await vm.clone({ name: 'copy', ephemeral: true }).unwrap()
    expect(copy.config.ephemeral).toBe(true)
    const kept = await copy.clone({ name: 'kept', ephemeral: false }).unwrap()
    expect(kept.config.ephemeral).toBeUndefined()
  })

  promises(
    'a switch to a snapshot does not change whether a VM is ephemeral',
    ['vm.edit', 'vm.createSnapshot', 'vm.switchToSnapshot'],
    async (trial) => {
      const vm = await trial.createVm({ ephemeral: true })
      const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
      await vm.edit({ ephemeral: false }).unwrap()
      await vm.switchToSnapshot(snapshot).unwrap()
      expect((await vm.refresh().unwrap()).ephemeral).toBeUndefined()
      await vm.edit({ ephemeral: true }).unwrap()
      await vm.switchToSnapshot(snapshot).unwrap()
      expect((await vm.refresh().unwrap()).ephemeral).toBe(true)
    },
  )

  promises('an ephemeral VM can be unregistered only after it is kept', ['vm.unregister', 'vm.edit'], async (trial) => {
    const vm = await trial.createVm({ ephemeral: true })
    const error = await failureOf(vm.unregister(), 'NOT_SUPPORTED')
    expect(error.hint).toContain('ephemeral: false')
    await trial.expectState(vm, 'stopped')
    await vm.edit({ ephemeral: false }).unwrap()
    await vm.unregister().unwrap()
    await failureOf(vm.refresh(), 'VM_NOT_FOUND')
  })

  promises('an ephemeral VM is not migrated', ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm({ ephemeral: true })
    const error = await failureOf(vm.migrate(trial.opened.migrationTarget!), 'NOT_SUPPORTED')
    expect(error.hint).toContain('ephemeral: false')
    await trial.expectState(vm, 'stopped')
  })

  if (!host.keepsVms) return

  for (const state of reachableStates(host)) {
    promises(`an ephemeral VM that is ${state} is gone after the close`, needsOf(state), async (trial) => {
      const vm = await trial.vmIn(state, { ephemeral: true })
      const server = await trial.reopen()
      expect(await server.getVmList().unwrap()).toEqual([])
      await failureOf(server.getVm(vm.id), 'VM_NOT_FOUND')
      expect((await trial.opened.files?.()) ?? []).toEqual([])
    })
  }

  promises('other connections leave an ephemeral VM alone, and see it go', ['server.createVm'], async (trial) => {
    const owner = await trial.connectAgain()
    const vm = await owner.createVm({ ...trial.profile.spec, name: 'mine', ephemeral: true }).unwrap()
    const other = await trial.connectAgain()
    const log = new EventLog(other.events({ vmId: vm.id }))
    const seen = await other.getVm('mine').unwrap()
    expect(seen.config.ephemeral).toBe(true)
    await (await trial.connectAgain()).close().unwrap()
    await trial.expectState(vm, 'stopped')
    await owner.close().unwrap()
    await failureOf(seen.refresh(), 'VM_NOT_FOUND')
    if (other.capabilities.has('server.events.global')) await log.until(({ type }) => type === 'deleted')
    else await log.close()
    await other.createVm({ ...trial.profile.spec, name: 'mine' }).unwrap()
  })

  promises('an edit to ephemeral: false keeps the VM after the close', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm({ ephemeral: true })
    await vm.edit({ ephemeral: false }).unwrap()
    const server = await trial.reopen()
    expect((await server.getVm(vm.id).unwrap()).config.ephemeral).toBeUndefined()
  })

  promises('an ephemeral VM belongs to the connection that made it so last', ['vm.edit'], async (trial) => {
    const first = await trial.connectAgain()
    const vm = await first.createVm({ ...trial.profile.spec, name: 'handed-over', ephemeral: true }).unwrap()
    const second = await trial.connectAgain()
    const seen = await second.getVm(vm.id).unwrap()
    await seen.edit({ description: 'still of the first' }).unwrap()
    await seen.edit({ ephemeral: true }).unwrap()
    await first.close().unwrap()
    expect((await seen.refresh().unwrap()).ephemeral).toBe(true)
    const server = await trial.reopen()
    expect(await server.getVmList().unwrap()).toEqual([])
  })

  promises(
    'an ephemeral clone is gone after the close, and its original is not',
    ['vm.clone.ephemeral'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      await vm.clone({ name: 'copy', ephemeral: true }).unwrap()
      const server = await trial.reopen()
      expect((await server.getVmList().unwrap()).map(({ id }) => id)).toEqual([vm.id])
    },
  )

  promises(
    'an ephemeral clone with memory is gone after the close, though it runs',
    ['vm.clone.memory', 'vm.clone.ephemeral', ...needsOf('running')],
    async (trial) => {
      const vm = await trial.vmIn('running')
      const twin = await vm.clone({ name: 'twin', memory: true, ephemeral: true }).unwrap()
      expect(twin).toMatchObject({ state: 'running', config: { ephemeral: true } })
      const server = await trial.reopen()
      expect((await server.getVmList().unwrap()).map(({ id }) => id)).toEqual([vm.id])
    },
  )

  promises(
    'a linked clone lives on when its ephemeral original has gone with the connection',
    ['vm.clone', 'vm.clone.linked', 'guest'],
    async (trial) => {
      const vm = await trial.createVm({ ...trial.profile.specWithDisk, ephemeral: true })
      const { guest } = await trial.startVm(vm)
      await guest.writeDisk(0x5c)
      await vm.stop().unwrap()
      const copy = await vm.clone({ name: 'copy', linked: true }).unwrap()
      const server = await trial.reopen()
      expect((await server.getVmList().unwrap()).map(({ id }) => id)).toEqual([copy.id])
      const cloned = await trial.startVm(await server.getVm(copy.id).unwrap())
      expect(await cloned.guest.readDisk()).toBe(0x5c)
    },
  )

  promises('a VM whose creation a close interrupts is not left if it is ephemeral', ['server.close'], async (trial) => {
    const creating = trial.server.createVm({ ...trial.profile.spec, name: 'maybe', ephemeral: true })
    const server = await trial.reopen()
    await creating
    expect(await server.getVmList().unwrap()).toEqual([])
    expect((await trial.opened.files?.()) ?? []).toEqual([])
  })
}
