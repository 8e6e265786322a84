import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { expectUsable, firstByteOf, makeImage } from '../../../support/filled-disk.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const mebibyte = 2 ** 20

const digestOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

test.each([
  ['version 2', ['-o', 'compat=0.10']],
  ['version 3', []],
  ['compressed by zlib', ['-c']],
  ['compressed by zstd', ['-c', '-o', 'compression_type=zstd']],
  ['extended entries', ['-o', 'extended_l2=on']],
])('a disk starts from a qcow2 image, which is only read: %s', async (_what, options) => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'qcow2', ...options)
  const before = digestOf(image)
  const vm = await host.createVm({ disks: [{ image }] })
  expect(vm.config.disks).toMatchObject([{ image }])
  await expectUsable(host, vm)
  expect(digestOf(image)).toBe(before)
})

test('a disk of a qcow2 image can be larger than that, grows, and is never smaller', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'qcow2', '-c')
  const vm = await host.createVm({ disks: [{ image, sizeMiB: 8 }] })
  expect(await host.diskSizes(vm)).toEqual([8])
  expect(await firstByteOf(host, vm)).toBe(0x7e)
  const grown = vm.config.disks.map((disk) => ({ ...disk, sizeMiB: 16 }))
  await vm.edit({ disks: grown }).unwrap()
  expect(await host.diskSizes(vm)).toEqual([16])
  const guest = await host.boot(vm)
  await vm.edit({ disks: vm.config.disks.map((disk) => ({ ...disk, sizeMiB: 32 })) }).unwrap()
  expect(await guest.readDisk()).toBe(0x7e)
  expect(await host.diskSizes(vm)).toEqual([32])
  const error = await failureOf(
    host.server.createVm({ name: 'small', disks: [{ image, sizeMiB: 2 }] }),
    'INVALID_ARGUMENT',
  )
  expect(error.path).toBe('spec.disks[0].sizeMiB')
  expect(error.message).toContain('at least 3')
})

test('clones, linked clones and snapshots of a disk on a qcow2 image have its content', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'qcow2', '-c')
  const before = digestOf(image)
  const vm = await host.createVm({ disks: [{ image, sizeMiB: 4 }] })
  const clones = [
    await vm.clone({ name: 'full' }).unwrap(),
    await vm.clone({ name: 'linked', linked: true }).unwrap(),
    await vm.clone({ name: 'again', linked: true }).unwrap(),
  ]
  const guest = await host.boot(vm)
  clones.push(await vm.clone({ name: 'live' }).unwrap())
  const running = await vm.createSnapshot({ name: 'running' }).unwrap()
  await guest.writeDisk(0x11)
  await vm.stop().unwrap()
  const written = await vm.createSnapshot({ name: 'written' }).unwrap()
  clones.push(await clones[1]!.clone({ name: 'of-linked', linked: true }).unwrap())
  for (const clone of clones) {
    expect(await firstByteOf(host, clone), clone.name).toBe(0x7e)
    expect(await host.diskSizes(clone)).toEqual([4])
    expect(await host.damage(clone)).toEqual([])
  }
  const later = await vm.clone({ name: 'later', linked: true }).unwrap()
  expect(await firstByteOf(host, later)).toBe(0x11)
  await vm.switchToSnapshot(running.id).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await firstByteOf(host, vm)).toBe(0x7e)
  await vm.switchToSnapshot(written.id).unwrap()
  expect(await firstByteOf(host, vm)).toBe(0x11)
  expect(await host.damage(vm)).toEqual([])
  expect(digestOf(image)).toBe(before)
})

test('a disk of a qcow2 image is plugged into a running VM, and outlives suspension and moves', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const image = makeImage(host, 'qcow2')
  const vm = await host.createVm({ disks: [{ image }] })
  const guest = await host.boot(vm)
  await vm.edit({ disks: [...vm.config.disks, { image }] }).unwrap()
  await guest.count()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  await vm.migrate(other.uri).unwrap()
  const there = await other.server.getVm(vm.id).unwrap()
  await there.stop({ mode: 'kill' }).unwrap()
  expect(await other.diskSizes(there)).toEqual([3, 3])
  expect(await firstByteOf(other, there)).toBe(0x7e)
})

test('the format is not found out again: a file that took the place of the image is refused', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'qcow2')
  const vm = await host.createVm({ disks: [{ image }] })
  renameSync(image, `${image}.old`)
  writeFileSync(image, Buffer.alloc(3 * mebibyte, 0x41))
  expect((await failureOf(vm.start(), 'INVALID_ARGUMENT')).path).toBe('config.disks[0].image')
  renameSync(`${image}.old`, image)
  expect(await firstByteOf(host, vm)).toBe(0x7e)
})

interface Kept {
  readonly hardware: { images: Record<string, { disk: { format: string; diskBytes: number } }> }
}

test('a VM that is registered must tell the truth about the formats of its images', async () => {
  await using host = await QmpHost.open()
  const image = makeImage(host, 'qcow2')
  const raw = join(host.folder, 'other')
  writeFileSync(raw, Buffer.alloc(mebibyte))
  const vm = await host.createVm({ disks: [{ image }, { image: raw }] })
  await vm.createSnapshot({ name: 'one' }).unwrap()
  await vm.unregister().unwrap()
  const folder = join(host.directory, 'unregistered', vm.id)
  const file = join(folder, 'vm.json')
  const text = readFileSync(file, 'utf8')
  for (const lie of ['hardware', 'snapshot']) {
    const definition = JSON.parse(text) as Kept & { readonly snapshots: readonly Kept[] }
    const { images } = lie === 'hardware' ? definition.hardware : definition.snapshots[0]!.hardware
    images[raw]!.disk = { format: 'qcow2', diskBytes: mebibyte }
    writeFileSync(file, JSON.stringify(definition))
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.message).toContain(`it takes ${raw} for a qcow2 image`)
  }
  writeFileSync(file, text)
  const registered = await host.server.registerVm(folder).unwrap()
  expect(await firstByteOf(host, registered)).toBe(0x7e)
})

test.each<[string, readonly string[], string]>([
  ['a backing file', ['-b', 'SECRET', '-F', 'raw'], 'needs the backing file'],
  ['a data file', ['-o', 'data_file=DATA', 'IMAGE', '1M'], 'has its data in another file'],
])('an image with %s is refused with a hint, and nothing is made', async (_what, args, reason) => {
  await using host = await QmpHost.open()
  const [secret, data, image] = ['secret', 'data', 'image'].map((name) => join(host.folder, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(secret, Buffer.alloc(mebibyte))
  const named = args.map((arg) => arg.replace('SECRET', secret).replace('DATA', data).replace('IMAGE', image))
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...named, ...(named.includes(image) ? [] : [image])])
  const error = await failureOf(host.server.createVm({ name: 'web-1', disks: [{ image }] }), 'INVALID_ARGUMENT')
  expect(error.path).toBe('spec.disks[0].image')
  expect(error.message).toContain(reason)
  expect(error.hint).toContain('qemu-img convert')
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([])
})
