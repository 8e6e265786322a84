import { randomUUID } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Vm, VmChanges } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import type { Definition } from '../../../../src/drivers/qmp/definition.js'
import { diskDevice } from '../../../../src/drivers/qmp/disks/disk-devices.js'
import { definitionFormat } from '../../../../src/drivers/qmp/definition-format.js'
import { DiskImages } from '../../../../src/drivers/qmp/disks/disk-images.js'
import { openMonitor } from '../../../../src/drivers/qmp/process/monitor.js'
import { openDisk, readSlots } from '../../../../src/drivers/qmp/disks/plugged-disks.js'
import { settle } from '../../../../src/drivers/qmp/settle.js'
import { ownIdentity } from '../../../../src/registry/process-identity.js'
import { VmDirectory } from '../../../../src/registry/vm-directory.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

/** Files that can be read as images. */
const someFile = { image: fileURLToPath(import.meta.url) }

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

type Nodes = readonly { readonly file: string }[]
type Blocks = readonly {
  readonly qdev: string
  readonly inserted: { readonly drv: string; readonly ro: boolean; readonly image: { readonly filename: string } }
}[]

/** Asks the VM's QEMU directly. */
async function ask<T>(host: QmpHost, vm: Vm, command: string): Promise<T> {
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  try {
    return (await monitor.execute(command)) as T
  } finally {
    await monitor.close()
  }
}

/** The slots where disks are plugged, with the ids of their devices. */
async function slotsOf(host: QmpHost, vm: Vm): Promise<[slot: number, id: string][]> {
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  try {
    return [...(await readSlots(monitor))].sort(([one], [other]) => one - other)
  } finally {
    await monitor.close()
  }
}

/** The images and files that QEMU has open, and its devices for disks. */
async function hardwareOf(host: QmpHost, vm: Vm): Promise<unknown> {
  const nodes = await ask<Nodes>(host, vm, 'query-named-block-nodes')
  return {
    balloon: await ask(host, vm, 'query-balloon'),
    disks: await slotsOf(host, vm),
    files: [...new Set(nodes.map(({ file }) => file))].sort(),
    folder: (await readdir(host.folderOf(vm))).filter((name) => name.endsWith('.qcow2')).sort(),
  }
}

async function imageIn(host: QmpHost, name: string): Promise<string> {
  const path = join(host.folder, name)
  await writeFile(path, Buffer.alloc(1 << 20))
  return path
}

test.each<[string, VmChanges, string]>([
  ['processors', { cpus: 2 }, 'processors only changes while it is stopped. Stop it first, with vm.stop().'],
  ['more memory', { memoryMiB: 17 }, 'Give it at most 16 MiB, or stop it first.'],
  ['kernels', { boot: {} }, 'what it boots only changes while it is stopped'],
  [
    'drives',
    { cdroms: [someFile, someFile] },
    'drives (cdroms) only changes while it is stopped; what is in them may change',
  ],
  [
    'disks of IDE',
    { disks: [], deleteDisks: ['first'] },
    "its disks with another bus than 'virtio' only change while it is stopped",
  ],
  [
    'buses of drives',
    { cdroms: [{ ...someFile, bus: 'scsi' }] },
    'the buses of its CD-ROM drives only change while it is stopped',
  ],
])('a running VM refuses other %s with the way out, and nothing is changed', async (_what, changes, message) => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({
    machine: 'pc',
    disks: [{ sizeMiB: 1, bus: 'ide' }],
    cdroms: [{ image: await imageIn(host, 'cd') }],
  })
  await host.boot(vm)
  const before = [vm.config, await hardwareOf(host, vm)]
  const disks = [...vm.config.disks, { sizeMiB: 2 }]
  const edit = { disks, description: 'half of it', ...changes }
  const [first] = vm.config.disks
  const deleteDisks = edit.deleteDisks?.map(() => first!.id)
  const error = await failureOf(vm.edit({ ...edit, deleteDisks }), 'INVALID_STATE')
  expect(error.state).toBe('running')
  expect(error.message).toContain(message)
  expect([await vm.refresh().unwrap(), await hardwareOf(host, vm)]).toEqual(before)
})

test('an edit that fails at its last step has changed nothing', async () => {
  await using host = await QmpHost.open()
  await host.createVm({ name: 'taken' })
  const cdroms = [{ image: await imageIn(host, 'one.iso') }]
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }], cdroms })
  await host.boot(vm)
  const before = [vm.config, await hardwareOf(host, vm)]
  const changes = {
    name: 'taken',
    memoryMiB: 8,
    disks: [...vm.config.disks, { sizeMiB: 2 }],
    cdroms: [{ image: await imageIn(host, 'two.iso') }],
  }
  await failureOf(vm.edit(changes), 'ALREADY_EXISTS')
  expect([await vm.refresh().unwrap(), await hardwareOf(host, vm)]).toEqual(before)
  await vm.edit({ ...changes, name: 'free' }).unwrap()
  expect(await hardwareOf(host, vm)).not.toEqual(before[1])
})

test('a disk that the guest does not release stays in the VM', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const { disks } = await vm.edit({ disks: [{ sizeMiB: 1 }] }).unwrap()
  const before = [vm.config, await hardwareOf(host, vm)]
  const deleteDisks = disks.map(({ id }) => id)
  const error = await failureOf(vm.edit({ deleteDisks, memoryMiB: 8 }), 'RESOURCE_BUSY')
  expect(error.message).toContain('its guest does not release the disk')
  expect([await vm.refresh().unwrap(), await hardwareOf(host, vm)]).toEqual(before)

  // A reset drops the request to the guest.
  await vm.reset().unwrap()
  await failureOf(vm.suspend(), 'RESOURCE_BUSY')
  expect(vm.state).toBe('running')
  await vm.edit({ disks }).unwrap()
  expect([await vm.refresh().unwrap(), await hardwareOf(host, vm)]).toEqual(before)
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect(await hardwareOf(host, vm)).toEqual(before[1])
})

test('a disk of a paused VM is not removed, since its guest could not release it', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  await vm.pause().unwrap()
  const { disks } = await vm.edit({ disks: [{ sizeMiB: 1 }] }).unwrap()
  const error = await failureOf(vm.edit({ deleteDisks: disks.map(({ id }) => id) }), 'INVALID_STATE')
  expect(error.message).toContain('it is paused, and a disk is only removed when its guest releases it. Resume it')
})

test('media are opened as raw images, and a change outlives a suspension, a snapshot and a start', async () => {
  await using host = await QmpHost.open()
  const [first, second, third] = [
    await imageIn(host, 'one'),
    await imageIn(host, 'two, 2'),
    await imageIn(host, 'three'),
  ]
  const vm = await host.createVm({ cdroms: [{ image: first }], floppies: [{ image: first }] })
  await host.boot(vm)
  const media = async (): Promise<unknown> => {
    const blocks = await ask<Blocks>(host, vm, 'query-block')
    return Object.fromEntries(blocks.map(({ qdev, inserted: { drv, ro, image } }) => [qdev, [image.filename, drv, ro]]))
  }
  const expected = (cd: string, floppy: string): unknown => ({
    'drive-cdrom0': [cd, 'raw', true],
    'drive-floppy0': [floppy, 'raw', true],
  })
  await vm.edit({ cdroms: [{ image: second }] }).unwrap()
  expect(await media()).toEqual(expected(second, first))
  const snapshot = await vm.createSnapshot({ name: 'second' }).unwrap()
  await vm.edit({ cdroms: [{ image: third }], floppies: [{ image: third }] }).unwrap()
  expect(await media()).toEqual(expected(third, third))
  const files = new Set((await ask<Nodes>(host, vm, 'query-named-block-nodes')).map(({ file }) => file))
  expect([...files]).toEqual([third])
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect(await media()).toEqual(expected(third, third))
  await vm.switchToSnapshot(snapshot.id).unwrap()
  expect(await media()).toEqual(expected(second, first))
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  expect(await media()).toEqual(expected(second, first))
})

test('after an edit of a stopped VM, its disks are in the order of its settings again', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const { disks } = await vm.edit({ disks: [{ sizeMiB: 1 }, { sizeMiB: 2 }] }).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ disks: [...disks.slice(0, 1), { sizeMiB: 3 }, ...disks.slice(1)] }).unwrap()
  await vm.start().unwrap()
  const ids = (await slotsOf(host, vm)).flatMap(([, id]) => (id.startsWith('drive-') ? id : []))
  const { hardware } = JSON.parse(await readFile(join(host.folderOf(vm), 'vm.json'), 'utf8')) as Definition
  expect(hardware.disks.map(({ sizeMiB }) => sizeMiB)).toEqual([1, 3, 2])
  expect(ids).toEqual(hardware.disks.map(diskDevice))
})

test('an unfinished edit is finished if it was saved, and else undone', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const directory = await VmDirectory.open(host.directory, definitionFormat)
  const images = new DiskImages('qemu-img')
  const definition = (await directory.get(vm.id))!
  const [written, other] = [1, 2].map((sizeMiB) => ({
    id: randomUUID(),
    sizeMiB,
    file: `disk-${randomUUID()}.qcow2`,
    slot: 16,
  }))
  const monitor = await openMonitor(host.folderOf(vm), 'control.sock')
  for (const disk of [written!, other!]) {
    await images.create({ path: join(host.folderOf(vm), disk.file) }, disk.sizeMiB)
    await openDisk(monitor, disk, definition.hardware)
  }
  await monitor.close()
  await directory.save({ ...definition, hardware: { ...definition.hardware, disks: [written!] } })

  const dead = { ...ownIdentity(false), state: 'running', before: 'running' } as const
  await settle({ directory, images }, (await directory.get(vm.id))!, dead)
  expect((await slotsOf(host, vm)).filter(([slot]) => slot === 16)).toEqual([[16, diskDevice(written!)]])
  const files = (await ask<Nodes>(host, vm, 'query-named-block-nodes')).map(({ file }) => file)
  expect(files).toContain(written!.file)
  expect(files).not.toContain(other!.file)
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
})

test('a removed medium leaves an empty drive, which takes another one while the VM runs or is suspended', async () => {
  await using host = await QmpHost.open()
  const [first, second] = [await imageIn(host, 'first'), await imageIn(host, 'second')]
  const vm = await host.createVm({ cdroms: [{ image: first, bus: 'scsi' }, {}], floppies: [{}] })
  await host.boot(vm)
  expect(vm.config).toMatchObject({ cdroms: [{ image: first, bus: 'scsi' }, { bus: 'sata' }], floppies: [{}] })
  const media = async (): Promise<unknown> => {
    const blocks = await ask<{ qdev: string; inserted?: { image: { filename: string } } }[]>(host, vm, 'query-block')
    return Object.fromEntries(blocks.map(({ qdev, inserted }) => [qdev, inserted?.image.filename]))
  }
  const empty = { 'drive-cdrom0': undefined, 'drive-cdrom1': undefined, 'drive-floppy0': undefined }
  const full = { 'drive-cdrom0': second, 'drive-cdrom1': first, 'drive-floppy0': second }
  const changes = { cdroms: [{ image: second }, { image: first }], floppies: [{ image: second }] }
  const ejected = { cdroms: [{}, {}], floppies: [{}] }
  const shown = { cdroms: [{ bus: 'scsi' }, { bus: 'sata' }], floppies: [{}] }
  expect(await media()).toEqual({ ...empty, 'drive-cdrom0': first })
  expect(await vm.edit(ejected).unwrap()).toMatchObject(shown)
  expect(await media()).toEqual(empty)
  expect(await ask<Nodes>(host, vm, 'query-named-block-nodes')).toEqual([])
  await vm.suspend().unwrap()
  expect(await vm.edit(changes).unwrap()).toMatchObject(changes)
  await failureOf(vm.edit({ cdroms: changes.cdroms.slice(1) }), 'INVALID_STATE')
  await vm.resume().unwrap()
  expect(await media()).toEqual(full)
  const snapshot = await vm.createSnapshot({ name: 'full' }).unwrap()
  await vm.suspend().unwrap()
  await vm.edit(ejected).unwrap()
  await vm.resume().unwrap()
  expect(await media()).toEqual(empty)
  await vm.edit(changes).unwrap()
  expect(await media()).toEqual(full)
  await vm.edit(ejected).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.start().unwrap()
  expect(await media()).toEqual(empty)
  await vm.switchToSnapshot(snapshot.id).unwrap()
  expect(await media()).toEqual(full)
  expect(await vm.refresh().unwrap()).toMatchObject(changes)
})
