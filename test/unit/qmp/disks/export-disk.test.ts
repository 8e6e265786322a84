import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DiskFileFormat, Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { SerialGuest } from '../../../../src/testing/conformance/serial-guest.js'
import { expectUsable, firstByteOf } from '../../../support/filled-disk.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { useOwnImageCache } from '../../../support/own-image-cache.js'
import { QmpHost } from '../../../support/qmp-host.js'

useOwnImageCache()
beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const mebibyte = 2 ** 20

const diskOf = (vm: Vm): string => vm.config.disks[0]!.id

/** The content of a raw file that a disk is exported to. */
async function contentOf(host: QmpHost, vm: Vm): Promise<Buffer> {
  const path = join(host.folder, 'content.raw')
  await vm.exportDisk(diskOf(vm), path).unwrap()
  const content = readFileSync(path)
  rmSync(path)
  return content
}

/** The byte that the guest reads and writes. */
const byteIn = (content: Buffer): number | undefined => content[512]

const infoOf = (path: string, driver: string): Record<string, unknown> =>
  JSON.parse(execFileSync('qemu-img', ['info', '-f', driver, '--output=json', path], { encoding: 'utf8' })) as Record<
    string,
    unknown
  >

/** A VM whose disk of 3 MiB is upon an image. */
async function vmOnImage(host: QmpHost): Promise<Vm> {
  const image = join(host.folder, 'image')
  writeFileSync(image, Buffer.alloc(2 * mebibyte, 0x7e))
  return await host.createVm({ disks: [{ image, sizeMiB: 3 }] })
}

test.each<[format: DiskFileFormat, driver: string, compress: boolean]>([
  ['raw', 'raw', false],
  ['qcow2', 'qcow2', false],
  ['qcow2', 'qcow2', true],
  ['vmdk', 'vmdk', false],
  ['vmdk', 'vmdk', true],
  ['vhdx', 'vhdx', false],
  ['vdi', 'vdi', false],
  ['vhd', 'vpc', false],
])(
  'a disk in a file of the format %s (%s, compressed: %s) is the image of another VM',
  async (format, driver, compress) => {
    await using host = await QmpHost.open()
    const vm = await vmOnImage(host)
    const image = join(host.folder, `disk.${format}`)
    await vm.exportDisk(diskOf(vm), image, { format, compress }).unwrap()
    await vm.delete().unwrap()
    rmSync(join(host.folder, 'image'))
    expect(infoOf(image, driver)).toMatchObject({ format: driver, 'virtual-size': 3 * mebibyte })
    const other = await host.createVm({ disks: [{ image }] })
    await expectUsable(host, other)
  },
)

test('a compressed file is smaller', async () => {
  await using host = await QmpHost.open()
  const vm = await vmOnImage(host)
  for (const format of ['qcow2', 'vmdk'] as const) {
    const [usual, small] = ['usual', 'small'].map((name) => join(host.folder, `${name}.${format}`)) as [string, string]
    await vm.exportDisk(diskOf(vm), usual, { format }).unwrap()
    await vm.exportDisk(diskOf(vm), small, { format, compress: true }).unwrap()
    expect(statSync(small).size).toBeLessThan(statSync(usual).size / 2)
  }
})

test('the disk of a linked clone is exported with what is in its bases, and needs none of them', async () => {
  await using host = await QmpHost.open()
  const vm = await vmOnImage(host)
  const first = await host.boot(vm)
  await first.writeDisk(0x11)
  await vm.stop().unwrap()
  const clone = await vm.clone({ name: 'clone', linked: true }).unwrap()
  expect(byteIn(await contentOf(host, clone))).toBe(0x11)
  const image = join(host.folder, 'disk.qcow2')
  await clone.exportDisk(diskOf(clone), image, { format: 'qcow2' }).unwrap()
  expect(infoOf(image, 'qcow2')).not.toHaveProperty('backing-filename')
  await clone.delete().unwrap()
  await vm.delete().unwrap()
  rmSync(join(host.folder, 'image'))
  expect(await firstByteOf(host, await host.createVm({ disks: [{ image }] }))).toBe(0x11)
})

test('a running VM is exported as it is at one moment: with linked clones, grown disks and snapshots', async () => {
  await using host = await QmpHost.open()
  const vm = await vmOnImage(host)
  const guest = await host.boot(vm)
  await guest.writeDisk(0x11)
  await vm.createSnapshot({ name: 'one' }).unwrap()
  await vm.clone({ name: 'clone', linked: true }).unwrap()
  await guest.writeDisk(0x22)
  await vm.edit({ disks: [{ id: diskOf(vm), sizeMiB: 4 }] }).unwrap()
  const phases = new Set<unknown>()
  const path = join(host.folder, 'disk.raw')
  await vm.exportDisk(diskOf(vm), path, { onProgress: ({ phase }) => phases.add(phase) }).unwrap()
  expect([...phases]).toEqual(expect.arrayContaining(['copying the disk', 'writing the file']))
  const content = readFileSync(path)
  expect(content).toHaveLength(4 * mebibyte)
  expect(byteIn(content)).toBe(0x22)
  expect(content.subarray(mebibyte, 2 * mebibyte).every((byte) => byte === 0x7e)).toBe(true)
  expect(content.subarray(2 * mebibyte).every((byte) => byte === 0)).toBe(true)
  expect(await guest.readDisk()).toBe(0x22)
  await vm.stop().unwrap()
  expect(await host.damage(vm)).toEqual([])
})

test('a suspended VM is exported as its disk is, and goes on', async () => {
  await using host = await QmpHost.open()
  const vm = await vmOnImage(host)
  const guest = await host.boot(vm)
  await guest.writeDisk(0x33)
  const counted = await guest.count()
  await vm.suspend().unwrap()
  expect(byteIn(await contentOf(host, vm))).toBe(0x33)
  await vm.resume().unwrap()
  const resumed = new SerialGuest(vm)
  expect(await resumed.count()).toBe(counted + 1)
  expect(await resumed.readDisk()).toBe(0x33)
})

test('the header of another format that a guest writes into its disk is not believed', async () => {
  await using host = await QmpHost.open()
  // A header of qcow2 that names a backing file: as the first bytes of a disk they are nothing but content.
  const hostile = join(host.folder, 'hostile.qcow2')
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', hostile, '1M'])
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const node = `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: fileOf(host, vm) } })}`
  execFileSync('qemu-io', ['-c', `write -s ${hostile} 0 64k`, node])
  const exported = await contentOf(host, vm)
  expect(exported).toHaveLength(mebibyte)
  expect(exported.subarray(0, 4).toString('latin1')).toBe('QFI\xfb')
})

/** The path of the only disk's own file. */
function fileOf(host: QmpHost, vm: Vm): string {
  const { hardware } = JSON.parse(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8')) as {
    readonly hardware: { readonly disks: readonly { readonly file: string }[] }
  }
  return join(host.folderOf(vm), hardware.disks[0]!.file)
}
