import { expect } from 'vitest'
import type { SnapshotNode } from '../../../model/snapshot.js'
import type { Vm } from '../../../vm.js'
import type { VmState } from '../../../model/vm-state.js'
import { wallClockMs } from '../../../clock.js'
import { failureOf } from '../expect-failure.js'
import { needsOf } from '../reachable-states.js'
import type { Cases } from '../case.js'

/** A tree as nested names, the current one marked. */
type Names = Record<string, unknown>
const namesOf = (nodes: readonly SnapshotNode[]): Names =>
  Object.fromEntries(nodes.map((node) => [`${node.name}${node.isCurrent ? ' *' : ''}`, namesOf(node.children)]))
const treeOf = async (vm: Vm): Promise<Names> => namesOf(await vm.getSnapshotTree().unwrap())

export const snapshots: Cases = ({ host, promises }) => {
  const needs = ['vm.createSnapshot', 'vm.getSnapshotTree'] as const
  const switching = [...needs, 'vm.switchToSnapshot'] as const

  promises('a VM has no snapshots at first', ['vm.getSnapshotTree'], async (trial) => {
    expect(await (await trial.createVm()).getSnapshotTree().unwrap()).toEqual([])
  })

  promises('a snapshot has the given name and description, and is in the tree', needs, async (trial) => {
    const vm = await trial.createVm()
    const started = wallClockMs()
    const snapshot = await vm.createSnapshot({ name: 'Clean "ünï"', description: 'Nothing done yet' }).unwrap()
    expect(snapshot).toMatchObject({
      name: 'Clean "ünï"',
      description: 'Nothing done yet',
      parentId: undefined,
      state: 'stopped',
      isCurrent: true,
    })
    expect(snapshot.createdAt.getTime()).toBeGreaterThan(started - 2000)
    expect(snapshot.createdAt.getTime()).toBeLessThan(wallClockMs() + 2000)
    expect(await vm.getSnapshotTree().unwrap()).toEqual([{ ...snapshot, children: [] }])
  })

  promises('a snapshot is made on top of the current one', needs, async (trial) => {
    const vm = await trial.createVm()
    const first = await vm.createSnapshot({ name: 'first' }).unwrap()
    const second = await vm.createSnapshot({ name: 'second' }).unwrap()
    const third = await vm.createSnapshot({ name: 'third' }).unwrap()
    expect([second.parentId, third.parentId]).toEqual([first.id, second.id])
    expect(await treeOf(vm)).toEqual({ first: { second: { 'third *': {} } } })
  })

  promises(
    'a snapshot is given by itself, by its id or by its name',
    [...switching, 'vm.deleteSnapshot'],
    async (trial) => {
      const vm = await trial.createVm()
      const first = await vm.createSnapshot({ name: 'first' }).unwrap()
      const second = await vm.createSnapshot({ name: 'second' }).unwrap()
      const third = await vm.createSnapshot({ name: 'third' }).unwrap()
      await vm.switchToSnapshot('first').unwrap()
      expect(await treeOf(vm)).toEqual({ 'first *': { second: { third: {} } } })
      await vm.switchToSnapshot(second).unwrap()
      expect(await treeOf(vm)).toEqual({ first: { 'second *': { third: {} } } })
      await vm.switchToSnapshot(third.id).unwrap()
      expect(await treeOf(vm)).toEqual({ first: { second: { 'third *': {} } } })
      await vm.deleteSnapshot('second').unwrap()
      await vm.deleteSnapshot(first).unwrap()
      expect(await treeOf(vm)).toEqual({ 'third *': {} })
      await failureOf(vm.switchToSnapshot('second'), 'SNAPSHOT_NOT_FOUND')
      await failureOf(vm.deleteSnapshot(first), 'SNAPSHOT_NOT_FOUND')
    },
  )

  promises('a snapshot made after switching back begins a branch', switching, async (trial) => {
    const vm = await trial.createVm()
    const root = await vm.createSnapshot({ name: 'root' }).unwrap()
    await vm.createSnapshot({ name: 'left' }).unwrap()
    await vm.switchToSnapshot(root.id).unwrap()
    expect(await treeOf(vm)).toEqual({ 'root *': { left: {} } })
    await vm.createSnapshot({ name: 'right' }).unwrap()
    expect(await treeOf(vm)).toEqual({ root: { left: {}, 'right *': {} } })
  })

  promises(
    'switching to a snapshot of a stopped VM restores its disk and its settings',
    [...switching, 'vm.edit', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x11)
      await vm.stop().unwrap()
      const { memoryMiB } = vm.config
      const { id } = await vm.createSnapshot({ name: 'before' }).unwrap()
      await vm.edit({ memoryMiB: memoryMiB + 8 }).unwrap()
      const second = await trial.startVm(vm)
      await second.guest.writeDisk(0x22)
      await vm.stop().unwrap()

      await vm.switchToSnapshot(id).unwrap()
      await trial.expectState(vm, 'stopped')
      expect((await vm.refresh().unwrap()).memoryMiB).toBe(memoryMiB)
      const third = await trial.startVm(vm)
      expect(await third.guest.readDisk()).toBe(0x11)
    },
  )

  promises(
    'switching to a snapshot of a running VM restores its memory and its disk, and it runs',
    [...switching, 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x11)
      const counted = await guest.count()
      const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
      expect(snapshot.state).toBe('running')
      await trial.expectState(vm, 'running')
      expect(await guest.count(), 'the VM goes on after the snapshot').toBe(counted + 1)
      await guest.writeDisk(0x22)

      await vm.switchToSnapshot(snapshot.id).unwrap()
      await trial.expectState(vm, 'running')
      const back = trial.talkTo(vm)
      expect(await back.count()).toBe(counted + 1)
      expect(await back.readDisk()).toBe(0x11)

      await back.writeDisk(0x33)
      await vm.stop().unwrap()
      await vm.switchToSnapshot(snapshot.id).unwrap()
      await trial.expectState(vm, 'running')
      const again = trial.talkTo(vm)
      expect(await again.count()).toBe(counted + 1)
      expect(await again.readDisk()).toBe(0x11)
    },
  )

  for (const state of ['stopped', 'running', 'paused'] as const satisfies VmState[]) {
    promises(
      `a snapshot of a ${state} VM leaves it ${state}, and leads back to that`,
      [...switching, ...needsOf(state)],
      async (trial) => {
        const vm = await trial.vmIn(state)
        const snapshot = await vm.createSnapshot({ name: 'here' }).unwrap()
        expect(snapshot.state).toBe(state)
        await trial.expectState(vm, state)
        if (state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
        await vm.switchToSnapshot(snapshot.id).unwrap()
        await trial.expectState(vm, state)
      },
    )
  }

  promises(
    'a switch to a snapshot of a paused VM leaves it paused, and it can be resumed',
    [...switching, 'vm.pause', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const counted = await guest.count()
      await vm.pause().unwrap()
      const { id } = await vm.createSnapshot({ name: 'paused' }).unwrap()
      await vm.resume().unwrap()
      await guest.count()
      await vm.switchToSnapshot(id).unwrap()
      await vm.resume().unwrap()
      expect(await trial.talkTo(vm).count()).toBe(counted + 1)
    },
  )

  promises(
    'deleting a snapshot in the middle keeps those on top of it',
    [...switching, 'vm.deleteSnapshot', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      const ids: string[] = []
      for (const byte of [1, 2, 3]) {
        await guest.writeDisk(byte)
        ids.push((await vm.createSnapshot({ name: `disk ${byte}` }).unwrap()).id)
      }
      const [first, middle, last] = ids as [string, string, string]
      await vm.deleteSnapshot(middle).unwrap()
      expect(await treeOf(vm)).toEqual({ 'disk 1': { 'disk 3 *': {} } })
      await failureOf(vm.switchToSnapshot(middle), 'SNAPSHOT_NOT_FOUND')
      expect(await guest.readDisk()).toBe(3)

      await vm.switchToSnapshot(first).unwrap()
      expect(await trial.talkTo(vm).readDisk()).toBe(1)
      await vm.switchToSnapshot(last).unwrap()
      expect(await trial.talkTo(vm).readDisk()).toBe(3)
    },
  )

  promises(
    'deleting the first, the last and the current snapshot leaves a correct tree',
    [...needs, 'vm.deleteSnapshot'],
    async (trial) => {
      const vm = await trial.createVm()
      const first = await vm.createSnapshot({ name: 'first' }).unwrap()
      await vm.createSnapshot({ name: 'second' }).unwrap()
      const third = await vm.createSnapshot({ name: 'third' }).unwrap()
      await vm.deleteSnapshot(first.id).unwrap()
      expect(await treeOf(vm)).toEqual({ second: { 'third *': {} } })
      await vm.deleteSnapshot(third.id).unwrap()
      expect(await treeOf(vm)).toEqual({ 'second *': {} })
      await vm.deleteSnapshot((await vm.getSnapshotTree().unwrap())[0]!.id).unwrap()
      expect(await treeOf(vm)).toEqual({})
      await vm.createSnapshot({ name: 'anew' }).unwrap()
      expect(await treeOf(vm)).toEqual({ 'anew *': {} })
    },
  )

  promises(
    'an unknown snapshot ends with SNAPSHOT_NOT_FOUND, and the VM is unchanged',
    [...switching, 'vm.deleteSnapshot'],
    async (trial) => {
      const vm = await trial.createVm()
      const other = await trial.createVm()
      await vm.createSnapshot({ name: 'mine' }).unwrap()
      const { id } = await other.createSnapshot({ name: 'of another VM' }).unwrap()
      for (const unknown of ['nope', '../x', 'of another VM', id]) {
        const error = await failureOf(vm.switchToSnapshot(unknown), 'SNAPSHOT_NOT_FOUND')
        expect(error.hint).toBeTruthy()
        await failureOf(vm.deleteSnapshot(unknown), 'SNAPSHOT_NOT_FOUND')
      }
      expect(await treeOf(vm)).toEqual({ 'mine *': {} })
      await trial.expectState(vm, 'stopped')
    },
  )

  if (!host.keepsVms) return

  promises('deleting every snapshot frees their space', [...needs, 'vm.deleteSnapshot', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(1)
    await vm.stop().unwrap()
    const before = (await trial.opened.files?.())?.length
    const ids: string[] = []
    for (const name of ['a', 'b', 'c']) ids.push((await vm.createSnapshot({ name }).unwrap()).id)
    for (const id of ids) await vm.deleteSnapshot(id).unwrap()
    expect((await trial.opened.files?.())?.length).toBe(before)
    const again = await trial.startVm(vm)
    expect(await again.guest.readDisk()).toBe(1)
  })

  promises('snapshots are still there for the next connection', [...switching, 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x11)
    const counted = await guest.count()
    const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
    await guest.writeDisk(0x22)
    await vm.stop({ mode: 'kill' }).unwrap()
    const server = await trial.reopen()
    const found = await server.getVm(vm.id).unwrap()
    expect(await found.getSnapshotTree().unwrap()).toEqual([{ ...snapshot, children: [] }])
    await found.switchToSnapshot(snapshot.id).unwrap()
    const back = trial.talkTo(found)
    expect(await back.count()).toBe(counted + 1)
    expect(await back.readDisk()).toBe(0x11)
  })
}
