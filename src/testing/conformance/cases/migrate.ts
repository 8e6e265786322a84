import { expect } from 'vitest'
import { connect } from '../../../connect.js'
import type { Server } from '../../../server.js'
import type { Vm } from '../../../vm.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** Migrates the VM, checks it there, and deletes it. */
async function moved(trial: Trial, vm: Vm, look: (there: Vm, server: Server) => Promise<void>): Promise<void> {
  const target = trial.opened.migrationTarget!
  await vm.migrate(target).unwrap()
  await failureOf(trial.server.getVm(vm.name), 'VM_NOT_FOUND')
  await failureOf(vm.getState(), 'VM_NOT_FOUND')
  await using server = await connect(target).unwrap()
  const there = await server.getVm(vm.name).unwrap()
  expect(there.id).toBe(vm.id)
  await look(there, server)
  if (there.state !== 'stopped') await there.stop({ mode: 'kill' }).unwrap()
  await there.delete().unwrap()
}

export const migrate: Cases = ({ promises }) => {
  promises('a VM that was migrated is on the other host only', ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm({ description: 'on its way' })
    await moved(trial, vm, async (there) => {
      expect(there.config).toEqual(vm.config)
      await trial.expectState(there, 'stopped')
    })
    expect(await trial.opened.files?.()).toEqual([])
  })

  promises(
    'a running VM is migrated without its guest noticing',
    ['vm.migrate', 'vm.suspend', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x31)
      const counted = await guest.count()
      guest.close()
      await moved(trial, vm, async (there) => {
        await trial.expectState(there, 'running')
        const again = trial.talkTo(there)
        expect(await again.count()).toBe(counted + 1)
        expect(await again.readDisk()).toBe(0x31)
        again.close()
        await there.suspend().unwrap()
        await there.resume().unwrap()
        const resumed = trial.talkTo(there)
        expect(await resumed.count()).toBe(counted + 3)
        resumed.close()
      })
    },
  )

  for (const state of ['paused', 'suspended'] as const) {
    const verb = state === 'paused' ? 'vm.pause' : 'vm.suspend'
    promises(`a ${state} VM is ${state} after its migration`, ['vm.migrate', verb, 'guest'], async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const counted = await guest.count()
      guest.close()
      await (state === 'paused' ? vm.pause() : vm.suspend()).unwrap()
      await moved(trial, vm, async (there) => {
        await trial.expectState(there, state)
        await there.resume().unwrap()
        const again = trial.talkTo(there)
        expect(await again.count()).toBe(counted + 1)
        again.close()
      })
    })
  }

  promises('snapshots are migrated with their VM', ['vm.migrate', 'vm.createSnapshot', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x41)
    const { id } = await vm.createSnapshot({ name: 'before' }).unwrap()
    await guest.writeDisk(0x42)
    guest.close()
    await moved(trial, vm, async (there) => {
      expect(await there.getSnapshotTree().unwrap()).toMatchObject([{ id, name: 'before', isCurrent: true }])
      await there.switchToSnapshot(id).unwrap()
      const again = trial.talkTo(there)
      expect(await again.readDisk()).toBe(0x41)
      again.close()
    })
  })

  promises('a VM whose name is taken on the other host stays where it is', ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm()
    await using server = await connect(trial.opened.migrationTarget).unwrap()
    const other = await server.createVm({ name: vm.name, ...trial.profile.spec }).unwrap()
    await failureOf(vm.migrate(trial.opened.migrationTarget!), 'ALREADY_EXISTS')
    await trial.expectState(vm, 'stopped')
    expect(await server.getVmList().unwrap()).toEqual([other])
    await other.delete().unwrap()
  })

  promises("a VM can't be migrated to its own host, or to none", ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm()
    for (const to of [trial.server.uri, 'nowhere']) {
      const error = await failureOf(vm.migrate(to), 'INVALID_ARGUMENT')
      expect(error.path).toBe('to')
    }
    await trial.expectState(vm, 'stopped')
  })

  promises('both hosts have events of a migration', ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm()
    await using server = await connect(trial.opened.migrationTarget).unwrap()
    const here = trial.events({ vmId: vm.id, types: ['deleted'] })
    const there = server.events({ vmId: vm.id, types: ['created'] })
    await vm.migrate(trial.opened.migrationTarget!).unwrap()
    await here.until(({ type }) => type === 'deleted')
    for await (const event of there) {
      expect(event).toMatchObject({ type: 'created', name: vm.name })
      break
    }
    await (await server.getVm(vm.id).unwrap()).delete().unwrap()
  })
}
