import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DiskConfig, Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { definitionFormat } from '../../../../src/drivers/qmp/definition-format.js'
import type { Definition } from '../../../../src/drivers/qmp/definition.js'
import { DiskImages } from '../../../../src/drivers/qmp/disks/disk-images.js'
import { diskNode } from '../../../../src/drivers/qmp/disks/disk-devices.js'
import { openMonitor } from '../../../../src/drivers/qmp/process/monitor.js'
import { settle } from '../../../../src/drivers/qmp/settle.js'
import { ownIdentity } from '../../../../src/registry/process-identity.js'
import { VmDirectory } from '../../../../src/registry/vm-directory.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const mebibyte = 2 ** 20
const images = new DiskImages('qemu-img')

async function definitionOf(host: QmpHost, vm: Vm): Promise<Definition> {
  const directory = await VmDirectory.open(host.directory, definitionFormat)
  return (await directory.get(vm.id))!
}

/** Repairs the VM after a crash of a process that had saved this definition. */
async function settleAfter(host: QmpHost, vm: Vm, change: (definition: Definition) => Definition): Promise<void> {
  const directory = await VmDirectory.open(host.directory, definitionFormat)
  await directory.save(change(await definitionOf(host, vm)))
  const { state } = vm
  await settle({ directory, images }, await definitionOf(host, vm), { ...ownIdentity(false), state, before: state })
}

const withSizes = (definition: Definition, sizeMiB: number): Definition => {
  const disks = definition.hardware.disks.map((disk) => ({ ...disk, sizeMiB }))
  return { ...definition, hardware: { ...definition.hardware, disks } }
}

const sizesOf = ({ config }: Vm): (number | undefined)[] => config.disks.map(({ sizeMiB }) => sizeMiB)
const grown = (disks: readonly DiskConfig[], sizeMiB: number): DiskConfig[] => disks.map(({ id }) => ({ id, sizeMiB }))
const files = async (host: QmpHost, vm: Vm): Promise<string[]> =>
  (await readdir(host.folderOf(vm))).filter((name) => name.endsWith('.qcow2')).sort()

test('a disk at rest that is smaller than in its definition grows after a crash', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] })
  await vm.createSnapshot({ name: 'before' }).unwrap()
  await settleAfter(host, vm, (definition) => withSizes(definition, 3))
  expect(await host.diskSizes(vm)).toEqual([3, 3])
  expect((await vm.refresh().unwrap()).disks).toMatchObject([{ sizeMiB: 3 }, { sizeMiB: 3 }])
  // A file that is larger than in the definition, as after an edit that could not be undone, is never shrunk.
  await settleAfter(host, vm, (definition) => withSizes(definition, 2))
  expect(await host.diskSizes(vm)).toEqual([3, 3])
  await vm.refresh().unwrap()
  await vm.edit({ disks: grown(vm.config.disks, 3) }).unwrap()
  expect(await host.diskSizes(vm)).toEqual([3, 3])
  expect(await host.damage(vm)).toEqual([])
})

test('a disk of a running VM that is smaller than in its definition grows after a crash', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await host.boot(vm)
  await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 1 }] }).unwrap()
  await settleAfter(host, vm, (definition) => withSizes(definition, 3))
  expect(await host.diskSizes(vm)).toEqual([3, 3])
  await vm.refresh().unwrap()
  expect(sizesOf(vm)).toEqual([3, 3])
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await host.damage(vm)).toEqual([])
})

test('the file of a disk that an edit was about to delete is deleted when the edit is finished', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] })
  const [kept, leaving] = (await definitionOf(host, vm)).hardware.disks
  await settleAfter(host, vm, (definition) => ({
    ...definition,
    hardware: { ...definition.hardware, disks: [kept!] },
    leavingFiles: [leaving!.file],
  }))
  expect(await files(host, vm)).toEqual([kept!.file])
  expect((await definitionOf(host, vm)).leavingFiles).toBeUndefined()
})

test('an edit at rest that can not grow a disk changes and deletes nothing', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }, { sizeMiB: 1 }] })
  await vm.createSnapshot({ name: 'before' }).unwrap()
  const before = vm.config
  const [first, second, third] = before.disks
  const { file } = (await definitionOf(host, vm)).hardware.disks[1]!
  const [path, aside] = [join(host.folderOf(vm), file), join(host.folder, 'aside')]
  const there = await files(host, vm)
  await rename(path, aside)
  // The header needs a feature that no QEMU knows: bit 63 of the incompatible features.
  const foreign = await readFile(aside)
  foreign[72] = 0x80
  await writeFile(path, foreign)
  const changes = {
    description: 'half of it',
    disks: [...grown([first!, second!], 5), { sizeMiB: 7 }],
    deleteDisks: [third!.id],
  }
  await failureOf(vm.edit(changes), 'HOST_ERROR')
  await rename(aside, path)
  expect(await vm.refresh().unwrap()).toEqual(before)
  expect(await files(host, vm)).toEqual(there)
  expect(await host.diskSizes(vm)).toEqual([1, 1, 1])
  await vm.edit(changes).unwrap()
  expect(await host.diskSizes(vm)).toEqual([5, 5, 7])
  expect(await host.damage(vm)).toEqual([])
})

test('an edit of a running VM that can not grow a disk keeps the growth of others, which the guest may use', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] })
  await host.boot(vm)
  const before = vm.config
  const node = diskNode((await definitionOf(host, vm)).hardware.disks[1]!)
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  // QEMU does not resize a disk that is being mirrored.
  await monitor.execute('blockdev-add', { driver: 'null-co', 'node-name': 'sink', size: mebibyte, 'read-zeroes': true })
  await monitor.execute('blockdev-mirror', { 'job-id': 'endless', device: node, target: 'sink', sync: 'full' })
  await monitor.close()
  await failureOf(vm.edit({ disks: grown(before.disks, 3), description: 'half of it' }), 'HOST_ERROR')
  expect(await vm.refresh().unwrap()).toEqual({
    ...before,
    disks: [{ ...before.disks[0], sizeMiB: 3 }, before.disks[1]],
  })
  expect(await host.diskSizes(vm)).toEqual([3, 1])
})

test('a snapshot in a base keeps its size when the disk has grown since', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x41)
  await vm.stop().unwrap()
  const small = await vm.createSnapshot({ name: 'small' }).unwrap()
  await vm.edit({ disks: grown(vm.config.disks, 4) }).unwrap()
  const large = await vm.createSnapshot({ name: 'large' }).unwrap()
  const clone = await vm.clone({ name: 'clone', linked: true }).unwrap()
  await clone.edit({ disks: grown(clone.config.disks, 6) }).unwrap()
  expect(await host.diskSizes(clone)).toEqual([6])
  for (const [{ id }, size] of [
    [small, 1],
    [large, 4],
    [small, 1],
  ] as const) {
    await vm.switchToSnapshot(id).unwrap()
    expect(await host.diskSizes(vm)).toEqual([size])
    await vm.refresh().unwrap()
    expect(sizesOf(vm)).toEqual([size])
    expect(await (await host.boot(vm)).readDisk()).toBe(0x41)
    await vm.stop().unwrap()
  }
  await vm.edit({ disks: grown(vm.config.disks, 2) }).unwrap()
  expect(await host.diskSizes(vm)).toEqual([2])
  expect(await host.damage(vm)).toEqual([])
  expect(await (await host.boot(clone)).readDisk()).toBe(0x41)
})
