import { writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { DiskConfig } from '../../../model/vm-config.js'
import type { Vm } from '../../../vm.js'
import type { VmChanges } from '../../../model/vm-spec.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** A stopped VM with two blank disks of the same size, the first of which has this byte. */
async function vmWithTwoDisks(trial: Trial, byte: number): Promise<{ vm: Vm; first: DiskConfig; second: DiskConfig }> {
  const { vm, guest } = await trial.runningVmWithDisk()
  await guest.writeDisk(byte)
  await vm.stop().unwrap()
  const [{ sizeMiB } = { sizeMiB: undefined }] = vm.config.disks
  await vm.edit({ disks: [...vm.config.disks, { sizeMiB }] }).unwrap()
  const [first, second] = vm.config.disks
  return { vm, first: first!, second: second! }
}

const larger = (disk: DiskConfig): DiskConfig & { readonly sizeMiB: number } => ({
  ...disk,
  sizeMiB: disk.sizeMiB! + 3,
})

async function readDisk(trial: Trial, vm: Vm): Promise<number> {
  const { guest } = await trial.startVm(vm)
  const byte = await guest.readDisk()
  await vm.stop({ mode: 'kill' }).unwrap()
  return byte
}

export const editDisks: Cases = ({ host, promises }) => {
  if (refusedPathOf(host, 'spec.disks') !== undefined) return
  const refusesImages = refusedPathOf(host, 'spec.disks.image') !== undefined

  promises('each disk has an id, which it keeps', ['server.createVm', 'vm.edit'], async (trial) => {
    const { name, disks } = { name: trial.newName(), disks: [{ sizeMiB: 64 }, { sizeMiB: 64 }] }
    const vm = await trial.server.createVm({ ...trial.profile.specWithDisk, name, disks }).unwrap()
    const before = vm.config.disks
    expect(before).toMatchObject(disks)
    expect(new Set(before.map(({ id }) => id)).size).toBe(2)
    await vm.edit({ description: 'edited', disks: before.map(({ id }) => ({ id })) }).unwrap()
    expect(vm.config.disks).toEqual(before)
    expect((await vm.refresh().unwrap()).disks).toEqual(before)
    if (!host.keepsVms) return
    const server = await trial.reopen()
    expect((await server.getVm(name).unwrap()).config.disks).toEqual(before)
  })

  promises(
    'a disk that grows keeps its content, and so does a disk of the same size beside it',
    ['vm.edit', 'guest'],
    async (trial) => {
      const { vm, first, second } = await vmWithTwoDisks(trial, 0x31)
      const disks = [larger(first), second]
      expect((await vm.edit({ disks }).unwrap()).disks).toEqual(disks)
      expect((await vm.refresh().unwrap()).disks).toEqual(disks)
      expect(await readDisk(trial, vm)).toBe(0x31)
      const grown = disks.map(larger)
      await vm.edit({ disks: grown.map(({ id, sizeMiB }) => ({ id, sizeMiB })) }).unwrap()
      expect((await vm.refresh().unwrap()).disks).toEqual(grown)
      expect(await readDisk(trial, vm)).toBe(0x31)
    },
  )

  promises('an edit that leaves out a disk changes nothing', ['vm.edit', 'guest'], async (trial) => {
    const { vm, first, second } = await vmWithTwoDisks(trial, 0x32)
    const before = vm.config
    const files = await trial.opened.files?.()
    const attempts: VmChanges[] = [
      { disks: [] },
      { disks: [first] },
      { disks: [{ sizeMiB: first.sizeMiB }, { sizeMiB: second.sizeMiB }] },
      { disks: [first], deleteDisks: [] },
    ]
    for (const changes of attempts) {
      const error = await failureOf(vm.edit({ ...changes, description: 'half of it' }), 'INVALID_ARGUMENT')
      expect(error.path).toBe('changes.disks')
      const left = changes.disks?.includes(first) === true ? second : first
      expect(error.message).toContain(JSON.stringify(left.id))
      expect(error.hint).toContain('deleteDisks')
      expect(await vm.refresh().unwrap()).toEqual(before)
    }
    expect(await trial.opened.files?.()).toEqual(files)
    expect(await readDisk(trial, vm)).toBe(0x32)
  })

  promises('an edit deletes the disks that it names, and no other', ['vm.edit', 'guest'], async (trial) => {
    const { vm, first, second } = await vmWithTwoDisks(trial, 0x33)
    const third = { sizeMiB: first.sizeMiB }
    const { disks } = await vm.edit({ disks: [first, third], deleteDisks: [second.id] }).unwrap()
    // A host may tell more of a disk than it was asked for: its bus.
    expect(disks).toEqual([first, { ...disks[1], ...third }])
    expect((await vm.edit({ deleteDisks: [disks[1]!.id] }).unwrap()).disks).toEqual([first])
    expect(await readDisk(trial, vm)).toBe(0x33)
    expect((await vm.edit({ deleteDisks: [first.id], description: 'no disk' }).unwrap()).disks).toEqual([])
    expect(await vm.refresh().unwrap()).toMatchObject({ disks: [], description: 'no disk' })
  })

  promises('invalid disks end with INVALID_ARGUMENT, and nothing is changed', ['vm.edit'], async (trial) => {
    const { name, disks } = { name: trial.newName(), disks: [{ sizeMiB: 64 }, { sizeMiB: 64 }] }
    const vm = await trial.server.createVm({ ...trial.profile.specWithDisk, name, disks }).unwrap()
    const before = vm.config
    const [first, second] = before.disks
    const [{ id }, { id: other }] = [first!, second!]
    const wrong: readonly [string, VmChanges][] = [
      ['changes.disks[1].id', { disks: [{ id }, { id: 'unknown' }], deleteDisks: [other] }],
      ['changes.disks[0].id', { disks: [{ id: '' }] }],
      ['changes.disks', { disks: [{ id }, { id: other }, { id }] }],
      ['changes.deleteDisks', { disks: [{ id }, { id: other }], deleteDisks: [other] }],
      ['changes.deleteDisks', { deleteDisks: [id, id] }],
      ['changes.deleteDisks[1]', { deleteDisks: [id, 'unknown'] }],
      ['changes.disks[1].sizeMiB', { disks: [{ id }, { id: other, sizeMiB: 63 }] }],
    ]
    const [path, changes] = ['changes.disks[0].image', { disks: [{ id, image: trial.path('image') }, { id: other }] }]
    for (const [where, each] of [...wrong, ...(refusesImages ? [] : [[path, changes] as const])]) {
      const error = await failureOf(vm.edit({ ...each, description: 'half of it' }), 'INVALID_ARGUMENT')
      expect(error.path).toBe(where)
      expect(await vm.refresh().unwrap()).toEqual(before)
    }
    const spec = { ...trial.profile.spec, name: trial.newName() }
    const error = await failureOf(
      trial.server.createVm({ ...spec, disks: [{ id, sizeMiB: 1 } as never] }),
      'INVALID_ARGUMENT',
    )
    expect(error.path).toBe('spec.disks[0].id')
    expect(await trial.server.getVmList().unwrap()).toEqual([vm])
  })

  promises(
    'a snapshot has the disks as they were: one that has grown since, and one that was deleted',
    ['vm.edit', 'vm.createSnapshot', 'vm.switchToSnapshot', 'guest'],
    async (trial) => {
      const { vm, first, second } = await vmWithTwoDisks(trial, 0x34)
      const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
      const grown = larger(first)
      await vm.edit({ disks: [grown], deleteDisks: [second.id] }).unwrap()
      const { guest } = await trial.startVm(vm)
      await guest.writeDisk(0x35)
      await vm.stop({ mode: 'kill' }).unwrap()
      const after = await vm.createSnapshot({ name: 'after' }).unwrap()
      await vm.switchToSnapshot(snapshot.id).unwrap()
      expect((await vm.refresh().unwrap()).disks).toEqual([first, second])
      expect(await readDisk(trial, vm)).toBe(0x34)
      await vm.switchToSnapshot(after.id).unwrap()
      expect((await vm.refresh().unwrap()).disks).toEqual([grown])
      expect(await readDisk(trial, vm)).toBe(0x35)
      await vm.switchToSnapshot(snapshot.id).unwrap()
      await vm.edit({ disks: [larger(grown), second] }).unwrap()
      expect(await readDisk(trial, vm)).toBe(0x34)
    },
  )

  promises(
    'a clone of a disk that has grown is as large, and grows independently',
    ['vm.edit', 'vm.clone', 'guest'],
    async (trial) => {
      const { vm, first, second } = await vmWithTwoDisks(trial, 0x36)
      const disks = [larger(first), second]
      await vm.edit({ disks }).unwrap()
      const linked = trial.server.capabilities.has('vm.clone.linked')
      for (const how of linked ? [false, true] : [false]) {
        const copy = await vm.clone({ name: trial.newName(), linked: how }).unwrap()
        expect(copy.config.disks.map(({ sizeMiB }) => sizeMiB)).toEqual(disks.map(({ sizeMiB }) => sizeMiB))
        const grown = copy.config.disks.map(larger)
        expect((await copy.edit({ disks: grown }).unwrap()).disks).toEqual(grown)
        expect(await readDisk(trial, copy)).toBe(0x36)
        expect((await vm.refresh().unwrap()).disks).toEqual(disks)
      }
      expect(await readDisk(trial, vm)).toBe(0x36)
    },
  )

  promises(
    'a disk of a running VM grows, and stays as large over a suspension and the next start',
    ['vm.edit', 'vm.edit.live', 'vm.suspend', 'vm.resume', 'vm.createSnapshot', 'vm.switchToSnapshot', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x37)
      const before = vm.config.disks
      const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
      const disks = [...before.map(larger), { sizeMiB: 2 }]
      const edited = await vm.edit({ disks, description: 'grown' }).unwrap()
      expect(edited.disks).toMatchObject(disks)
      expect(await vm.refresh().unwrap()).toEqual(edited)
      expect(await guest.readDisk()).toBe(0x37)
      await vm.pause().unwrap()
      const again = [...before.map(larger).map(larger), ...edited.disks.slice(before.length)]
      expect((await vm.edit({ disks: again }).unwrap()).disks).toEqual(again)
      await vm.resume().unwrap()
      await vm.suspend().unwrap()
      await vm.resume().unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      expect((await vm.refresh().unwrap()).disks).toEqual(again)
      expect(await readDisk(trial, vm)).toBe(0x37)
      await vm.switchToSnapshot(snapshot.id).unwrap()
      await trial.expectState(vm, 'running')
      expect((await vm.refresh().unwrap()).disks).toEqual(before)
    },
  )

  promises('a live edit that fails makes no disk larger', ['vm.edit', 'vm.edit.live', 'guest'], async (trial) => {
    const other = await trial.createVm()
    const { vm } = await trial.runningVmWithDisk()
    const before = vm.config
    const disks = before.disks.map(larger)
    await failureOf(vm.edit({ disks, name: other.name }), 'ALREADY_EXISTS')
    expect(await vm.refresh().unwrap()).toEqual(before)
    expect((await vm.edit({ disks }).unwrap()).disks).toEqual(disks)
  })

  if (host.keepsDiskOrder) {
    promises('the order of disks can not be changed', ['vm.edit', 'guest'], async (trial) => {
      const { vm, first, second } = await vmWithTwoDisks(trial, 0x38)
      for (const disks of [
        [second, first],
        [{ sizeMiB: 64 }, first, second],
      ]) {
        expect((await failureOf(vm.edit({ disks }), 'NOT_SUPPORTED')).capability).toBe('spec.disks')
        expect((await vm.refresh().unwrap()).disks).toEqual([first, second])
      }
    })
  } else {
    promises('disks of the same size are told apart in any order', ['vm.edit', 'guest'], async (trial) => {
      const { vm, first, second } = await vmWithTwoDisks(trial, 0x38)
      expect((await vm.edit({ disks: [second, first] }).unwrap()).disks).toEqual([second, first])
      expect(await readDisk(trial, vm)).toBe(0)
      expect((await vm.edit({ disks: [first, second] }).unwrap()).disks).toEqual([first, second])
      expect(await readDisk(trial, vm)).toBe(0x38)
      await vm.edit({ disks: [second], deleteDisks: [first.id] }).unwrap()
      expect(await readDisk(trial, vm)).toBe(0)
    })
  }

  if (refusesImages) return

  promises(
    'a disk that starts from an image may be larger, and may grow, but is never smaller than the image',
    ['server.createVm', 'vm.edit', 'guest'],
    async (trial) => {
      const image = trial.path('image')
      await writeFile(image, Buffer.alloc((1 << 20) + 512, 0x7e))
      const spec = { ...trial.profile.specWithDisk, disks: [{ image }] }
      const small = trial.createVm({ ...spec, disks: [{ image, sizeMiB: 1 }] })
      await expect(small).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'spec.disks[0].sizeMiB' })
      const vm = await trial.createVm(spec)
      const [disk] = vm.config.disks
      expect(disk).toMatchObject({ image })
      expect(disk?.sizeMiB).toBeUndefined()
      expect((await failureOf(vm.edit({ disks: [{ ...disk!, sizeMiB: 1 }] }), 'INVALID_ARGUMENT')).path).toBe(
        'changes.disks[0].sizeMiB',
      )
      const { guest } = await trial.startVm(vm)
      expect(await guest.readDisk()).toBe(0x7e)
      await guest.writeDisk(0x39)
      await vm.stop({ mode: 'kill' }).unwrap()
      const grown = { ...disk!, sizeMiB: 3 }
      expect((await vm.edit({ disks: [grown] }).unwrap()).disks).toEqual([grown])
      expect(await readDisk(trial, vm)).toBe(0x39)
      const larger = await trial.createVm({ ...spec, disks: [{ image, sizeMiB: 4 }] })
      expect(await readDisk(trial, larger)).toBe(0x7e)
    },
  )
}
