import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'

const needs = ['vm.clone', 'vm.clone.memory', 'guest'] as const

export const cloneWithMemory: Cases = ({ promises }) => {
  promises('a clone with memory goes on from the same moment, and the original runs on', needs, async (trial) => {
    const { vm, guest } = await trial.runningVm({ description: 'the original' })
    const counted = await guest.count()
    const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
    expect(twin.id).not.toBe(vm.id)
    expect(twin.config).toMatchObject({ name: 'twin', description: 'the original', memoryMiB: vm.config.memoryMiB })
    await trial.expectState(vm, 'running')
    await trial.expectState(twin, 'running')
    const cloned = trial.talkTo(twin)
    expect(await cloned.count()).toBe(counted + 1)
    expect(await cloned.count()).toBe(counted + 2)
    expect(await guest.count()).toBe(counted + 1)
    expect(new Set(await trial.server.getVmList().unwrap())).toEqual(new Set([vm, twin]))
  })

  promises('what a clone with memory writes is not seen by the original, nor the reverse', needs, async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x11)
    const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
    const cloned = trial.talkTo(twin)
    expect(await cloned.readDisk()).toBe(0x11)
    await cloned.writeDisk(0x22)
    expect(await guest.readDisk()).toBe(0x11)
    await guest.writeDisk(0x33)
    expect(await cloned.readDisk()).toBe(0x22)
    for (const [each, byte] of [
      [vm, 0x33],
      [twin, 0x22],
    ] as const) {
      await each.stop().unwrap()
      const again = await trial.startVm(each)
      expect(await again.guest.readDisk()).toBe(byte)
    }
  })

  promises(
    'a clone with memory of a paused and of a suspended VM runs, and the original stays as it is',
    [...needs, 'vm.pause', 'vm.suspend', 'vm.resume'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      const counted = await guest.count()
      await vm.pause().unwrap()
      const ofPaused = await vm.clone({ name: 'of-paused', memory: true }).unwrap()
      await trial.expectState(vm, 'paused')
      await trial.expectState(ofPaused, 'running')
      expect(await trial.talkTo(ofPaused).count()).toBe(counted + 1)
      await vm.resume().unwrap()
      await vm.suspend().unwrap()
      const ofSuspended = await vm.clone({ name: 'of-suspended', memory: true }).unwrap()
      await trial.expectState(vm, 'suspended')
      expect(await trial.talkTo(ofSuspended).count()).toBe(counted + 1)
      await vm.resume().unwrap()
      expect(await trial.talkTo(vm).count()).toBe(counted + 1)
    },
  )

  promises(
    'clones of a snapshot with memory go on from it, whatever the original has become, and live on without it',
    [...needs, 'vm.createSnapshot', 'vm.deleteSnapshot', 'vm.delete'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x44)
      const counted = await guest.count()
      const snapshot = await vm.createSnapshot({ name: 'booted' }).unwrap()
      await guest.writeDisk(0x55)
      const ofRunning = await vm.clone({ name: 'of-running', memory: true, snapshot }).unwrap()
      await trial.expectState(vm, 'running')
      await vm.stop({ mode: 'kill' }).unwrap()
      const ofStopped = await vm.clone({ name: 'of-stopped', memory: true, snapshot: 'booted' }).unwrap()
      await trial.expectState(vm, 'stopped')
      await vm.deleteSnapshot(snapshot).unwrap()
      await vm.delete().unwrap()
      for (const [twin, byte] of [
        [ofRunning, 1],
        [ofStopped, 2],
      ] as const) {
        const cloned = trial.talkTo(twin)
        expect(await cloned.count()).toBe(counted + 1)
        expect(await cloned.readDisk()).toBe(0x44)
        await cloned.writeDisk(byte)
        await twin.stop({ mode: 'kill' }).unwrap()
      }
      expect(await (await trial.startVm(ofRunning)).guest.readDisk()).toBe(1)
    },
  )

  promises(
    'the original can still be switched to a snapshot that was cloned with memory',
    [...needs, 'vm.createSnapshot', 'vm.switchToSnapshot'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x66)
      const counted = await guest.count()
      const snapshot = await vm.createSnapshot({ name: 'booted' }).unwrap()
      const twin = await vm.clone({ name: 'twin', memory: true, snapshot }).unwrap()
      const cloned = trial.talkTo(twin)
      await cloned.writeDisk(0x77)
      await vm.switchToSnapshot(snapshot).unwrap()
      const switched = trial.talkTo(vm)
      expect(await switched.count()).toBe(counted + 1)
      expect(await switched.readDisk()).toBe(0x66)
      expect(await cloned.readDisk()).toBe(0x77)
    },
  )

  promises(
    'a clone with memory is a VM as any other: it is suspended, cloned, stopped and deleted',
    [...needs, 'vm.suspend', 'vm.resume', 'vm.delete'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      const counted = await guest.count()
      const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
      const next = await twin.clone({ name: 'next', memory: true }).unwrap()
      await vm.delete({ force: true }).unwrap()
      await twin.suspend().unwrap()
      await twin.resume().unwrap()
      expect(await trial.talkTo(twin).count()).toBe(counted + 1)
      await twin.delete({ force: true }).unwrap()
      expect(await trial.talkTo(next).count()).toBe(counted + 1)
      const stopped = await next.clone({ name: 'stopped' }).unwrap()
      await trial.expectState(stopped, 'stopped')
      await next.delete({ force: true }).unwrap()
      const again = await trial.startVm(stopped)
      expect(await again.guest.count()).toBe(1)
    },
  )

  promises(
    'a clone with memory is refused if there is no memory, or its name is taken, and nothing is made',
    [...needs, 'vm.createSnapshot'],
    async (trial) => {
      const vm = await trial.createVm()
      const files = await trial.opened.files?.()
      const { state, expected } = await failureOf(vm.clone({ name: 'twin', memory: true }), 'INVALID_STATE')
      expect(state).toBe('stopped')
      expect(expected).toEqual(['running', 'paused', 'suspended'])
      await failureOf(vm.clone({ name: 'twin', memory: true, snapshot: 'no such' }), 'SNAPSHOT_NOT_FOUND')
      const { path } = await failureOf(vm.clone({ name: 'twin', snapshot: 'no such' }), 'INVALID_ARGUMENT')
      expect(path).toBe('options.snapshot')
      expect(await trial.opened.files?.()).toEqual(files)
      const snapshot = await vm.createSnapshot({ name: 'off' }).unwrap()
      const refused = await failureOf(vm.clone({ name: 'twin', memory: true, snapshot }), 'INVALID_ARGUMENT')
      expect(refused.message).toContain('has no memory')
      const { guest } = await trial.startVm(vm)
      await failureOf(vm.clone({ name: vm.name, memory: true }), 'ALREADY_EXISTS')
      await trial.expectState(vm, 'running')
      expect(await guest.count()).toBe(1)
      expect(await trial.server.getVmList().unwrap()).toEqual([vm])
    },
  )
}
