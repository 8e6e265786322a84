import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { expectUsable, firstByteOf, makeImage } from '../../../support/filled-disk.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const basesOf = (host: QmpHost, vm: Vm): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.startsWith('base-'))

test.each<[string, string[]]>([
  ['vmdk', []],
  ['vmdk', ['subformat=streamOptimized']],
  ['vdi', []],
  ['vpc', ['force_size=on']],
  ['vpc', ['subformat=fixed', 'force_size=on']],
  ['vhdx', []],
  ['qed', []],
])('an image that qemu-img made as %s with %j is converted once, and not needed any more', async (driver, options) => {
  await using host = await QmpHost.open()
  const image = makeImage(host, driver, ...options.flatMap((option) => ['-o', option]))
  const job = host.server.createVm({ name: 'web-1', memoryMiB: 16, boot: { kernel: host.kernel }, disks: [{ image }] })
  const phases: unknown[] = []
  job.onProgress(({ phase }) => phases.push(phase))
  const vm = await job.unwrap()
  expect(phases).toContain('converting images')
  expect(vm.config.disks).toMatchObject([{ image }])
  rmSync(image)
  expect(basesOf(host, vm)).toHaveLength(1)
  await expectUsable(host, vm)
})

test('a disk of a converted image is larger than that, is cloned, and a VM with it is registered elsewhere', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const image = makeImage(host, 'vmdk')
  const vm = await host.createVm({ disks: [{ image, sizeMiB: 8 }] })
  rmSync(image)
  const full = await vm.clone({ name: 'full' }).unwrap()
  const linked = await vm.clone({ name: 'linked', linked: true }).unwrap()
  expect(basesOf(host, linked)).toEqual(basesOf(host, vm))
  const snapshot = await vm.createSnapshot({ name: 'one' }).unwrap()
  const guest = await host.boot(vm)
  await guest.writeDisk(0x11)
  await vm.stop().unwrap()
  await vm.switchToSnapshot(snapshot.id).unwrap()
  await vm.unregister().unwrap()
  const moved = await other.server.registerVm(join(host.directory, 'unregistered', vm.id)).unwrap()
  for (const [at, each] of [
    [host, full],
    [host, linked],
    [other, moved],
  ] as const) {
    expect(await firstByteOf(at, each), each.name).toBe(0x7e)
    expect(await at.diskSizes(each)).toEqual([8])
    expect(await at.damage(each)).toEqual([])
  }
})

test('a disk of a converted image is plugged into a running VM, and its files go with it', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vdi')
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await vm.edit({ disks: [...vm.config.disks, { image }] }).unwrap()
  await host.boot(vm)
  await vm.edit({ disks: [...vm.config.disks, { image, sizeMiB: 4 }] }).unwrap()
  expect(basesOf(host, vm)).toHaveLength(2)
  expect(await host.diskSizes(vm)).toEqual([1, 3, 4])
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ deleteDisks: vm.config.disks.slice(1).map(({ id }) => id) }).unwrap()
  expect(basesOf(host, vm)).toEqual([])
})

test('an image that is damaged behind its header is refused by QEMU, and nothing is left behind', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vdi')
  const damaged = readFileSync(image)
  // It has no blocks.
  damaged.writeUInt32LE(0, 0x180)
  writeFileSync(image, damaged)
  const spec = { name: 'web-1', disks: [{ image }] }
  const error = await failureOf(host.server.createVm(spec), 'HOST_ERROR')
  expect(error.native.driver).toBe('qmp')
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([])
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await failureOf(vm.edit({ disks: [...vm.config.disks, { image }] }), 'HOST_ERROR')
  expect(basesOf(host, vm)).toEqual([])
  expect(await host.diskSizes(vm)).toEqual([1])
})

test('a conversion that is cancelled leaves nothing behind', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vdi')
  const job = host.server.createVm({ name: 'web-1', disks: [{ image }] })
  job.onProgress(({ phase }) => {
    if (phase === 'converting images') void job.cancel()
  })
  const settled = await job
  if (settled.isErr()) expect(settled.error.code).toBe('JOB_CANCELLED')
  const expected = settled.isErr() ? [] : [settled.value.id]
  expect(readdirSync(join(host.directory, 'vms'))).toEqual(expected)
})

test('the parts of a split vmdk, and differences to other images, are refused', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse')
  renameSync(image, join(host.folder, 'description.vmdk'))
  for (const name of ['description.vmdk', 'image-s001.vmdk']) {
    const spec = { name: 'web-1', disks: [{ image: join(host.folder, name) }] }
    const error = await failureOf(host.server.createVm(spec), 'INVALID_ARGUMENT')
    expect(error.hint).toContain('qemu-img convert')
  }
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([])
})
