import { writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { VmSpec } from '../../../model/vm-spec.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'

export const clone: Cases = ({ host, promises }) => {
  const labels: Partial<VmSpec> = refusedPathOf(host, 'spec.labels') === undefined ? { labels: { job: '4711' } } : {}

  promises('a clone is a separate stopped VM with the settings of the original', ['vm.clone'], async (trial) => {
    const vm = await trial.createVm({ description: 'the original', memoryMiB: 24, ...labels })
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    expect(copy).not.toBe(vm)
    expect(copy.id).not.toBe(vm.id)
    const { name: _name, createdAt: _createdAt, ...settings } = vm.config
    expect(copy.config).toMatchObject({ ...settings, name: 'copy' })
    await trial.expectState(copy, 'stopped')
    expect(await trial.server.getVm('copy').unwrap()).toBe(copy)
    expect(new Set(await trial.server.getVmList().unwrap())).toEqual(new Set([vm, copy]))
  })

  promises('the disks of a clone and of the original are independent', ['vm.clone', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x11)
    await vm.stop().unwrap()
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    const [original, cloned] = [await trial.startVm(vm), await trial.startVm(copy)]
    expect(await cloned.guest.readDisk()).toBe(0x11)
    await cloned.guest.writeDisk(0x22)
    expect(await original.guest.readDisk()).toBe(0x11)
    await original.guest.writeDisk(0x33)
    expect(await cloned.guest.readDisk()).toBe(0x22)
  })

  const clonesRunning = host.refusedFrom['vm.clone']?.includes('running') !== true
  const whetherRunning = clonesRunning ? promises : () => undefined

  whetherRunning(
    'a running VM can be cloned with its disks as they are, and runs on',
    ['vm.clone', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x44)
      const counted = await guest.count()
      const copy = await vm.clone({ name: 'copy' }).unwrap()
      await trial.expectState(vm, 'running')
      await trial.expectState(copy, 'stopped')
      await guest.writeDisk(0x55)
      expect(await guest.count()).toBe(counted + 2)
      const cloned = await trial.startVm(copy)
      expect(await cloned.guest.readDisk()).toBe(0x44)
    },
  )

  whetherRunning(
    'a running VM can have linked clones of its disks as they are, one after another, and runs on',
    ['vm.clone', 'vm.clone.linked', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x44)
      const counted = await guest.count()
      const first = await vm.clone({ name: 'first', linked: true }).unwrap()
      await guest.writeDisk(0x55)
      const second = await vm.clone({ name: 'second', linked: true }).unwrap()
      await trial.expectState(vm, 'running')
      await trial.expectState(first, 'stopped')
      expect(await guest.count()).toBe(counted + 2)
      await guest.writeDisk(0x66)
      for (const [copy, byte] of [
        [first, 0x44],
        [second, 0x55],
      ] as const) {
        const cloned = await trial.startVm(copy)
        expect(await cloned.guest.readDisk()).toBe(byte)
        await cloned.guest.writeDisk(0x77)
      }
      expect(await guest.readDisk()).toBe(0x66)
    },
  )

  promises('a clone lives on when the original is deleted', ['vm.clone', 'vm.delete', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x66)
    await vm.stop().unwrap()
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    await vm.delete().unwrap()
    const cloned = await trial.startVm(copy)
    expect(await cloned.guest.readDisk()).toBe(0x66)
  })

  promises(
    'a clone under a name that is taken ends with ALREADY_EXISTS, and nothing is made',
    ['vm.clone'],
    async (trial) => {
      const vm = await trial.createVm()
      const other = await trial.createVm()
      const files = await trial.opened.files?.()
      await failureOf(vm.clone({ name: other.name }), 'ALREADY_EXISTS')
      await failureOf(vm.clone({ name: vm.name }), 'ALREADY_EXISTS')
      expect(new Set(await trial.server.getVmList().unwrap())).toEqual(new Set([vm, other]))
      expect(await trial.opened.files?.()).toEqual(files)
    },
  )

  promises(
    'a linked clone has the disks of the original, and writes to its own',
    ['vm.clone', 'vm.clone.linked', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x11)
      await vm.stop().unwrap()
      const copy = await vm.clone({ name: 'copy', linked: true }).unwrap()
      const cloned = await trial.startVm(copy)
      expect(await cloned.guest.readDisk()).toBe(0x11)
      await cloned.guest.writeDisk(0x22)
      const original = await trial.startVm(vm)
      expect(await original.guest.readDisk()).toBe(0x11)
    },
  )

  if (refusedPathOf(host, 'spec.disks.image') !== undefined) return

  promises(
    'the image that a disk starts from is only read, by the VM and by its clone',
    ['vm.clone', 'guest'],
    async (trial) => {
      const image = trial.path('image')
      await writeFile(image, Buffer.alloc(1 << 20, 0x7e))
      const vm = await trial.createVm({ ...trial.profile.specWithDisk, disks: [{ image }] })
      const first = await trial.startVm(vm)
      expect(await first.guest.readDisk()).toBe(0x7e)
      await first.guest.writeDisk(1)
      const copy = await vm.clone({ name: 'copy' }).unwrap()
      const cloned = await trial.startVm(copy)
      expect(await cloned.guest.readDisk()).toBe(1)
      await cloned.guest.writeDisk(2)
      const fresh = await trial.runningVm({ ...trial.profile.specWithDisk, disks: [{ image }] })
      expect(await fresh.guest.readDisk()).toBe(0x7e)
    },
  )
}
