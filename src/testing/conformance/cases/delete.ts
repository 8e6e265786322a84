import { readFile, stat, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { needsOf, reachableStates } from '../reachable-states.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'

export const deleteCases: Cases = ({ host, promises }) => {
  for (const state of reachableStates(host).filter((state) => state !== 'running' && state !== 'paused')) {
    promises(
      `deleting a ${state} VM removes all of it, and its name is free`,
      ['vm.delete', ...needsOf(state)],
      async (trial) => {
        const before = await trial.opened.files?.()
        const vm = await trial.vmIn(state)
        await vm.delete().unwrap()
        expect(await trial.server.getVmList().unwrap()).toEqual([])
        await failureOf(trial.server.getVm(vm.name), 'VM_NOT_FOUND')
        await failureOf(trial.server.getVm(vm.id), 'VM_NOT_FOUND')
        expect(await trial.opened.files?.()).toEqual(before)
        const again = await trial.createVm({ name: vm.name })
        expect(again.id).not.toBe(vm.id)
      },
    )
  }

  for (const state of reachableStates(host)) {
    promises(
      `deleting a ${state} VM by force removes all of it`,
      ['vm.delete', 'vm.stop', ...needsOf(state)],
      async (trial) => {
        const before = await trial.opened.files?.()
        const vm = await trial.vmIn(state)
        const events = trial.events()
        await vm.delete({ force: true }).unwrap()
        expect(await trial.server.getVmList().unwrap()).toEqual([])
        await failureOf(trial.server.getVm(vm.id), 'VM_NOT_FOUND')
        expect(await trial.opened.files?.()).toEqual(before)
        await events.close()
        expect(events.events.at(-1)).toMatchObject({ type: 'deleted', vmId: vm.id })
      },
    )
  }

  for (const state of reachableStates(host).filter((state) => state === 'running' || state === 'paused')) {
    promises(
      `deleting a ${state} VM is refused, with the way to force it`,
      ['vm.delete', ...needsOf(state)],
      async (trial) => {
        const vm = await trial.vmIn(state)
        const { hint } = await failureOf(vm.delete(), 'INVALID_STATE')
        expect(hint).toContain('vm.delete({ force: true })')
        await trial.expectState(vm, state)
      },
    )
  }

  promises(
    'deleting a VM with snapshots and written disks removes all of it',
    ['vm.delete', 'vm.createSnapshot', 'guest'],
    async (trial) => {
      const before = await trial.opened.files?.()
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(1)
      await vm.createSnapshot({ name: 'running' }).unwrap()
      await guest.writeDisk(2)
      await vm.stop().unwrap()
      await vm.createSnapshot({ name: 'stopped' }).unwrap()
      await vm.delete().unwrap()
      expect(await trial.opened.files?.()).toEqual(before)
    },
  )

  promises('deleting a VM does not affect others', ['vm.delete', 'guest'], async (trial) => {
    const { vm: other, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x12)
    const vm = await trial.createVm(trial.profile.specWithDisk)
    await vm.delete().unwrap()
    expect(await guest.readDisk()).toBe(0x12)
    await trial.expectState(other, 'running')
  })

  promises('of two deletions of one VM at once, one succeeds', ['vm.delete'], async (trial) => {
    const vm = await trial.createVm()
    const results = await Promise.all([vm.delete(), vm.delete()])
    const codes = results.map((result) => (result.isOk() ? 'deleted' : result.error.code))
    expect(codes.filter((code) => code === 'deleted')).toHaveLength(1)
    expect(['VM_NOT_FOUND', 'RESOURCE_BUSY']).toContain(codes.find((code) => code !== 'deleted'))
    expect(await trial.server.getVmList().unwrap()).toEqual([])
  })

  promises(
    'a VM that was unregistered is not on the host, and comes back complete when it is registered',
    ['vm.unregister', 'server.registerVm', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x21)
      await vm.stop().unwrap()
      await vm.unregister().unwrap()
      await failureOf(trial.server.getVm(vm.name), 'VM_NOT_FOUND')
      const back = await trial.server.registerVm(trial.opened.registrationPath!(vm)).unwrap()
      expect(back.config).toEqual(vm.config)
      await failureOf(trial.server.registerVm(trial.opened.registrationPath!(vm)), 'ALREADY_EXISTS')
      const started = await trial.startVm(back)
      expect(await started.guest.readDisk()).toBe(0x21)
    },
  )

  promises('a path without a VM cannot be registered', ['server.registerVm'], async (trial) => {
    await failureOf(trial.server.registerVm(trial.path('missing')), 'INVALID_ARGUMENT')
    expect(await trial.server.getVmList().unwrap()).toEqual([])
  })

  if (refusedPathOf(host, 'spec.disks.image') !== undefined) return

  promises('deleting a VM keeps the images and the kernel that it was made from', ['vm.delete'], async (trial) => {
    const image = trial.path('image')
    await writeFile(image, Buffer.alloc(1 << 20, 0x42))
    const vm = await trial.createVm({ ...trial.profile.specWithDisk, disks: [{ image }] })
    await vm.delete().unwrap()
    expect((await readFile(image)).equals(Buffer.alloc(1 << 20, 0x42))).toBe(true)
    const { kernel } = trial.profile.specWithDisk.boot ?? {}
    if (kernel !== undefined) expect((await stat(kernel)).isFile()).toBe(true)
  })
}
