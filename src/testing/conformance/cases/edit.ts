import { expect } from 'vitest'
import type { VmState } from '../../../model/vm-state.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'

export const edit: Cases = ({ host, promises }) => {
  const keepsName = (state: VmState): boolean => host.refusedFrom['vm.edit.name']?.includes(state) === true

  promises('an edit changes only what it names', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm({ description: 'before' })
    const { config, id } = vm
    const name = trial.newName()
    const answered = await vm.edit({ name, description: 'after' }).unwrap()
    expect(answered).toEqual({ ...config, name, description: 'after' })
    expect(vm.config).toEqual(answered)
    expect(vm.name).toBe(name)
    expect(vm.target.name).toBe(name)
    expect(await vm.refresh().unwrap()).toEqual(answered)
    expect(await trial.server.getVm(name).unwrap()).toBe(vm)
    expect(vm.id).toBe(id)
    await failureOf(trial.server.getVm(config.name), 'VM_NOT_FOUND')
  })

  promises('an empty edit changes nothing', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm()
    const before = vm.config
    expect(await vm.edit({}).unwrap()).toEqual(before)
    expect(await vm.edit({ name: undefined, memoryMiB: undefined }).unwrap()).toEqual(before)
    expect(await vm.edit({ name: vm.name }).unwrap()).toEqual(before)
  })

  const hasLabels = refusedPathOf(host, 'spec.labels') === undefined
  if (hasLabels) {
    promises('an edit replaces all labels, or removes them', ['vm.edit'], async (trial) => {
      const vm = await trial.createVm({ labels: { job: '1', team: 'red' } })
      await vm.edit({ description: 'the labels stay' }).unwrap()
      expect((await vm.refresh().unwrap()).labels).toEqual({ job: '1', team: 'red' })
      expect((await vm.edit({ labels: { job: '2' } }).unwrap()).labels).toEqual({ job: '2' })
      expect((await vm.edit({ labels: {} }).unwrap()).labels).toBeUndefined()
      expect((await vm.refresh().unwrap()).labels).toBeUndefined()
    })

    promises(
      'a switch to a snapshot leaves the labels as they are',
      ['vm.edit', 'vm.createSnapshot', 'vm.switchToSnapshot'],
      async (trial) => {
        const vm = await trial.createVm({ labels: { job: '1' } })
        const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
        await vm.edit({ labels: { job: '2' } }).unwrap()
        await vm.switchToSnapshot(snapshot).unwrap()
        expect((await vm.refresh().unwrap()).labels).toEqual({ job: '2' })
      },
    )
  }

  promises('a name that is taken ends with ALREADY_EXISTS, and nothing is changed', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm()
    const other = await trial.createVm()
    const before = [vm.config, other.config]
    await failureOf(vm.edit({ name: other.name, description: 'half of it' }), 'ALREADY_EXISTS')
    expect([await vm.refresh().unwrap(), await other.refresh().unwrap()]).toEqual(before)
  })

  promises('a name that was given up is free', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm({ name: 'wanted' })
    await vm.edit({ name: 'other' }).unwrap()
    const second = await trial.createVm({ name: 'wanted' })
    expect(await trial.server.getVm('wanted').unwrap()).toBe(second)
  })

  promises(
    'the memory of a stopped VM can be changed, and its guest boots with it',
    ['vm.edit', 'vm.start', 'guest'],
    async (trial) => {
      const vm = await trial.createVm()
      const memoryMiB = vm.config.memoryMiB + 16
      expect((await vm.edit({ memoryMiB }).unwrap()).memoryMiB).toBe(memoryMiB)
      await trial.startVm(vm)
      if (trial.server.capabilities.has('vm.getStatistics')) {
        expect((await vm.getStatistics().unwrap()).memoryMiB).toBe(memoryMiB)
      }
    },
  )

  promises('an added disk is blank, and the other disks keep their content', ['vm.edit', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x11)
    await vm.stop().unwrap()
    const disks = [...vm.config.disks, { sizeMiB: 2 }]
    expect((await vm.edit({ disks }).unwrap()).disks).toMatchObject(disks)
    const again = await trial.startVm(vm)
    expect(await again.guest.readDisk()).toBe(0x11)
  })

  for (const state of ['running', 'paused'] as const) {
    promises(
      `${keepsName(state) ? 'description' : 'name and description'} of a ${state} VM can be changed`,
      ['vm.edit', 'running VM', ...(state === 'paused' ? (['vm.pause'] as const) : [])],
      async (trial) => {
        const vm = await trial.vmIn(state)
        const name = keepsName(state) ? vm.name : 'renamed'
        if (keepsName(state)) await failureOf(vm.edit({ name: 'renamed', description: 'half of it' }), 'INVALID_STATE')
        await vm.edit({ name, description: `while ${state}` }).unwrap()
        expect(await vm.refresh().unwrap()).toMatchObject({ name, description: `while ${state}` })
        await trial.expectState(vm, state)
        expect(await trial.server.getVm(name).unwrap()).toBe(vm)
      },
    )
  }

  promises(
    'memory of a running VM can be reduced, and given back',
    ['vm.edit', 'vm.edit.live', 'running VM'],
    async (trial) => {
      const vm = await trial.vmIn('running')
      const before = vm.config
      for (const memoryMiB of [before.memoryMiB - 4, before.memoryMiB]) {
        const changes = { description: `with ${memoryMiB} MiB`, memoryMiB }
        expect(await vm.edit(changes).unwrap()).toEqual({ ...before, ...changes })
        expect(await vm.refresh().unwrap()).toEqual({ ...before, ...changes })
        await trial.expectState(vm, 'running')
      }
    },
  )

  promises(
    'a disk that is added to a running VM is there after a suspension, a snapshot and the next start',
    ['vm.edit', 'vm.edit.live', 'vm.suspend', 'vm.resume', 'vm.createSnapshot', 'vm.switchToSnapshot', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x21)
      const { disks } = await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 2 }] }).unwrap()
      expect(disks).toMatchObject([{}, { sizeMiB: 2 }])
      await vm.suspend().unwrap()
      await vm.resume().unwrap()
      const snapshot = await vm.createSnapshot({ name: 'with both' }).unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      await vm.edit({ deleteDisks: disks.slice(1).map(({ id }) => id) }).unwrap()
      await vm.switchToSnapshot(snapshot.id).unwrap()
      await trial.expectState(vm, 'running')
      expect((await vm.refresh().unwrap()).disks).toEqual(disks)
      await vm.stop({ mode: 'kill' }).unwrap()
      const again = await trial.startVm(vm)
      expect(await again.guest.readDisk()).toBe(0x21)
      expect(vm.config.disks).toEqual(disks)
    },
  )

  promises('a live edit that fails changes nothing', ['vm.edit', 'vm.edit.live', 'running VM'], async (trial) => {
    const other = await trial.createVm()
    const vm = await trial.vmIn('running')
    const before = vm.config
    const changes = { memoryMiB: before.memoryMiB - 4, disks: [...before.disks, { sizeMiB: 1 }] }
    const files = await trial.opened.files?.()
    await failureOf(vm.edit({ ...changes, name: other.name }), 'ALREADY_EXISTS')
    expect(await vm.refresh().unwrap()).toEqual(before)
    expect(await trial.opened.files?.()).toEqual(files)
    expect((await vm.edit(changes).unwrap()).disks).toMatchObject(changes.disks)
  })

  promises(
    "an edit of a suspended VM's hardware ends with INVALID_STATE",
    ['vm.edit', 'vm.suspend', 'running VM'],
    async (trial) => {
      const vm = await trial.vmIn('suspended')
      const before = vm.config
      await failureOf(vm.edit({ memoryMiB: before.memoryMiB + 8 }), 'INVALID_STATE')
      expect(await vm.refresh().unwrap()).toEqual(before)
      await vm.resume().unwrap()
    },
  )

  if (!host.keepsVms) return

  promises('an edit is still there for the next connection', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm()
    const edited = await vm.edit({ name: 'renamed', description: 'kept', memoryMiB: 32 }).unwrap()
    const server = await trial.reopen()
    expect((await server.getVm('renamed').unwrap()).config).toEqual(edited)
  })
}
