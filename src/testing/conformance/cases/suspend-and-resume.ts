import { expect } from 'vitest'
import type { Cases } from '../case.js'

export const suspendAndResume: Cases = ({ host, promises }) => {
  const needs = ['vm.suspend', 'vm.resume', 'guest'] as const

  promises('a VM keeps its memory over a suspension', needs, async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const counted = await guest.count()
    for (let times = 1; times <= 2; times += 1) {
      await vm.suspend().unwrap()
      await trial.expectState(vm, 'suspended')
      await vm.resume().unwrap()
      await trial.expectState(vm, 'running')
      expect(await trial.talkTo(vm).count()).toBe(counted + times)
    }
  })

  promises('a VM keeps its disk over a suspension', needs, async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x5a)
    await vm.suspend().unwrap()
    await vm.resume().unwrap()
    const resumed = trial.talkTo(vm)
    expect(await resumed.readDisk()).toBe(0x5a)
    await resumed.writeDisk(0xa5)
    await vm.stop().unwrap()
    const again = await trial.startVm(vm)
    expect(await again.guest.readDisk()).toBe(0xa5)
  })

  promises('a paused VM can be suspended, and runs once it is resumed', [...needs, 'vm.pause'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const counted = await guest.count()
    await vm.pause().unwrap()
    await vm.suspend().unwrap()
    await trial.expectState(vm, 'suspended')
    await vm.resume().unwrap()
    await trial.expectState(vm, 'running')
    expect(await trial.talkTo(vm).count()).toBe(counted + 1)
  })

  promises(
    'a kill drops the saved state, and the next start brings a fresh guest',
    [...needs, 'vm.stop'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.count()
      const before = await trial.opened.files?.()
      await vm.suspend().unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      await trial.expectState(vm, 'stopped')
      const after = await trial.opened.files?.()
      expect(after?.length, 'files that the host keeps').toBe(before?.length)
      const started = await trial.startVm(vm)
      expect(await started.guest.count()).toBe(1)
    },
  )

  promises('a guest that was resumed still notices the power button', [...needs, 'vm.stop'], async (trial) => {
    const vm = await trial.vmIn('suspended')
    await vm.resume().unwrap()
    await vm.stop().unwrap()
    await trial.expectState(vm, 'stopped')
  })

  promises(
    'a suspended VM keeps its saved state when its description is edited, and its name if the host allows that',
    [...needs, 'vm.edit'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const counted = await guest.count()
      await vm.suspend().unwrap()
      const isRenamed = host.refusedFrom['vm.edit.name']?.includes('suspended') !== true
      await vm.edit({ ...(isRenamed && { name: 'renamed' }), description: 'asleep' }).unwrap()
      await trial.expectState(vm, 'suspended')
      await vm.resume().unwrap()
      expect(await trial.talkTo(vm).count()).toBe(counted + 1)
    },
  )

  if (!host.keepsVms) return

  promises('a suspended VM is resumed by the next connection, with its memory and its disk', needs, async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x77)
    const counted = await guest.count()
    await vm.suspend().unwrap()
    const server = await trial.reopen()
    const found = await server.getVm(vm.id).unwrap()
    await trial.expectState(found, 'suspended')
    await found.resume().unwrap()
    const resumed = trial.talkTo(found)
    expect(await resumed.count()).toBe(counted + 1)
    expect(await resumed.readDisk()).toBe(0x77)
  })
}
