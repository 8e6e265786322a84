import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Job, type Vm } from 'awaitvm'
import { beforeEach, expect, test, vi } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { expectUsable, firstByteOf, makeImage } from '../../../support/filled-disk.js'
import { GatedQemuImg } from '../../../support/gated-qemu-img.js'
import { ImageServer } from '../../../support/image-server.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { useOwnImageCache } from '../../../support/own-image-cache.js'
import { QmpHost } from '../../../support/qmp-host.js'
import { SmallFileSystem } from '../../../support/small-file-system.js'

const cache = useOwnImageCache()
beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** Where a disk starts from. */
const imageOf = (vm: Vm): string => vm.config.disks[0]?.image ?? 'none'

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
  expect(phases).toContain('converting image')
  expect(await host.server.images.list().unwrap()).toMatchObject([
    { path: imageOf(vm), source: image, isComplete: true, usedBy: ['web-1'] },
  ])
  rmSync(image)
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

test('a disk of a converted image is plugged into a running VM, and two of them start from one file', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vdi')
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await vm.edit({ disks: [...vm.config.disks, { image }] }).unwrap()
  await host.boot(vm)
  await vm.edit({ disks: [...vm.config.disks, { image, sizeMiB: 4 }] }).unwrap()
  expect(await host.server.images.list().unwrap()).toHaveLength(1)
  expect(await host.diskSizes(vm)).toEqual([1, 3, 4])
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ deleteDisks: vm.config.disks.slice(1).map(({ id }) => id) }).unwrap()
  expect(await host.server.images.list().unwrap()).toMatchObject([{ usedBy: [] }])
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
  expect(await host.server.images.list().unwrap()).toEqual([])
  expect(await host.diskSizes(vm)).toEqual([1])
})

test('a conversion that is cancelled leaves nothing behind', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vdi')
  const job = host.server.createVm({ name: 'web-1', disks: [{ image }] })
  job.onProgress(({ phase }) => {
    if (phase === 'converting image') void job.cancel()
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

test('fifty VMs of one image are made by one conversion, and it is not removed until they are gone', async () => {
  const qemuImg = GatedQemuImg.install(cache())
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vmdk')
  const before = qemuImg.calls('convert').length
  const names = Array.from({ length: 50 }, (_, index) => `web-${index + 1}`)
  const vms = await Job.all(names.map((name) => host.server.createVm({ name, disks: [{ image }] }))).unwrap()
  expect(qemuImg.calls('convert')).toHaveLength(before + 1)
  expect(new Set(vms.map(imageOf)).size).toBe(1)

  const [listed] = await host.server.images.list().unwrap()
  expect(listed?.usedBy.toSorted()).toEqual(names.toSorted())
  const { id = '' } = listed ?? {}
  const refused = await failureOf(host.server.images.remove(id), 'RESOURCE_BUSY')
  expect(refused.message).toContain('web-')
  await Job.all(vms.map((vm) => vm.delete())).unwrap()
  await host.server.images.remove(id).unwrap()
  expect(await host.server.images.list().unwrap()).toEqual([])
})

test('an image that is written anew is another one, and VMs of the former one keep theirs', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vmdk')
  const vm = await host.createVm({ disks: [{ image }] })
  makeImage(host, 'vmdk', '-o', 'subformat=streamOptimized')
  const other = await host.createVm({ name: 'web-2', disks: [{ image }] })
  expect(imageOf(other)).not.toBe(imageOf(vm))
  expect(await host.server.images.list().unwrap()).toHaveLength(2)
  await expectUsable(host, vm)
})

test('an image that is fetched, and one that is compressed, are converted once, and the conversion goes with them', async () => {
  await using host = await QmpHost.open()
  const file = makeImage(host, 'vmdk')
  await using images = await ImageServer.listen(readFileSync(file))
  const disk = { image: images.url('/disk.vmdk'), sha256: images.sha256 }
  const vm = await host.createVm({ disks: [disk] })
  await host.createVm({ name: 'web-2', disks: [disk] })
  const fetched = `sha256-${images.sha256}`
  const [listed, ...others] = await host.server.images.list().unwrap()
  expect(others).toEqual([])
  expect(listed).toMatchObject({ id: fetched, source: images.url('/disk.vmdk'), usedBy: ['web-1', 'web-2'] })
  expect(listed?.sizeBytes).toBe(images.content.length + statSync(imageOf(vm)).size)
  expect(await host.server.images.fetch({ url: disk.image, sha256: disk.sha256 }).unwrap()).toEqual(listed)
  expect(images.ranges).toHaveLength(1)
  expect((await failureOf(host.server.images.remove(fetched), 'RESOURCE_BUSY')).retryable).toBe(false)
  for (const each of await host.server.getVmList().unwrap()) await each.delete().unwrap()
  await host.server.images.remove(fetched).unwrap()
  expect(await host.server.images.list().unwrap()).toEqual([])
  expect(readdirSync(join(cache(), 'images'))).toEqual(['processes', 'users'])

  const packed = join(host.folder, 'image.vmdk.gz')
  writeFileSync(packed, gzipSync(readFileSync(file)))
  const unpacked = await host.createVm({ disks: [{ image: packed }] })
  expect(await host.server.images.list().unwrap()).toMatchObject([{ source: packed, usedBy: ['web-1'] }])
  await expectUsable(host, unpacked)
})

test('an image whose conversion the disk has no room for is not converted', async (context) => {
  await using disk = await SmallFileSystem.mount(context)
  vi.stubEnv('AWAITVM_CACHE', disk.folder)
  await disk.fill(2048)
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vmdk')
  const error = await failureOf(host.server.createVm({ name: 'web-1', disks: [{ image }] }), 'INSUFFICIENT_RESOURCES')
  expect(error.hint).toContain('AWAITVM_CACHE')
  expect(await host.server.images.list().unwrap()).toEqual([])
})

test('a VM whose image an older awaitvm converted into its folder goes on without the image, here and elsewhere', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'vmdk')
  const vm = await host.createVm({ disks: [{ image }] })
  const converted = imageOf(vm)
  const base = `base-${randomUUID()}.qcow2`
  copyFileSync(converted, join(host.folderOf(vm), base))
  const { size, mtimeMs } = statSync(image)
  const kept = join(host.folderOf(vm), 'vm.json')
  const definition = JSON.parse(readFileSync(kept, 'utf8')) as OldDefinition
  const [disk] = definition.hardware.disks
  Object.assign(disk ?? {}, { image, bases: [base] })
  const stamp = { sizeBytes: size, changedNs: String(BigInt(Math.round(mtimeMs)) * 1_000_000n) }
  definition.hardware.images = {
    [host.kernel]: definition.hardware.images[host.kernel],
    [image]: { ...stamp, disk: { format: 'vmdk', diskBytes: 3 * 2 ** 20 } },
  }
  rebase(join(host.folderOf(vm), disk?.file ?? ''), base)
  writeFileSync(kept, JSON.stringify(definition))
  rmSync(image)
  await host.server.images.remove((await host.server.images.list().unwrap())[0]?.id ?? '').unwrap()
  await expectUsable(host, vm)
  await vm.unregister().unwrap()
  const again = await host.server.registerVm(join(host.directory, 'unregistered', vm.id)).unwrap()
  expect(await firstByteOf(host, again)).toBe(0x11)
})

interface OldDefinition {
  readonly hardware: { readonly disks: readonly { readonly file: string }[]; images: Record<string, unknown> }
}

/** Gives the header of a disk's file another backing file, as that of an older awaitvm. */
const rebase = (file: string, base: string): void => {
  execFileSync('qemu-img', ['rebase', '-q', '-u', '-f', 'qcow2', '-b', base, '-F', 'qcow2', file])
}
