import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { builtInGuest } from '../../../src/drivers/embedded/machine/guest.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { SerialGuest } from '../../../src/testing/conformance/serial-guest.js'

const mebibyte = 2 ** 20

let folder: string
let exports: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-export-'))
  exports = await mkdtemp(join(folder, 'exports-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

const diskOf = (vm: Vm): string => vm.config.disks[0]!.id

test.each(['in memory', 'in a directory'])(
  'blocks of the guest lie over those of the image, of a VM %s',
  async (where) => {
    const uri = where === 'in memory' ? 'embedded:' : `embedded://${join(folder, 'vms')}`
    await using server = await connect(uri).unwrap()
    const [image, kernel] = [join(folder, 'image'), join(folder, 'kernel')]
    // Its end is within a block.
    await writeFile(image, Buffer.alloc(mebibyte + 512, 0x7e))
    await writeFile(kernel, builtInGuest())
    const spec = { memoryMiB: 16, disks: [{ image, sizeMiB: 3 }], boot: { kernel } }
    const vm = await server.createVm({ name: 'web-1', ...spec }).unwrap()
    await vm.start().unwrap()
    const guest = new SerialGuest(vm)
    await guest.untilReady()
    await guest.writeDisk(0x11)
    const content = async (name: string): Promise<Buffer> => {
      await vm.exportDisk(diskOf(vm), join(exports, name)).unwrap()
      return await readFile(join(exports, name))
    }
    const running = await content('running')
    const expected = Buffer.concat([Buffer.alloc(mebibyte + 512, 0x7e), Buffer.alloc(2 * mebibyte - 512)])
    expected.set(running.subarray(512, 1024), 512)
    expect(running[512]).toBe(0x11)
    expect(running.equals(expected)).toBe(true)
    await guest.writeDisk(0x22)
    await vm.pause().unwrap()
    expect((await content('paused'))[512]).toBe(0x22)
    await vm.suspend().unwrap()
    expect((await content('suspended'))[512]).toBe(0x22)
    await vm.resume().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    const stopped = await content('stopped')
    expected.set(stopped.subarray(512, 1024), 512)
    expect(stopped[512]).toBe(0x22)
    expect(stopped.equals(expected)).toBe(true)
  },
)

test('what is zero takes no room in the file', async () => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 256 }] }).unwrap()
  await vm.exportDisk(diskOf(vm), join(exports, 'disk')).unwrap()
  const { size, blocks } = await stat(join(exports, 'disk'))
  expect(size).toBe(256 * mebibyte)
  expect(blocks * 512).toBeLessThan(mebibyte)
})

test('a disk that no machine has used yet is exported as blank, and stays as it is', async () => {
  await using server = await connect(`embedded://${join(folder, 'vms')}`).unwrap()
  const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
  const disksOf = async (): Promise<string[]> =>
    (await readdir(join(folder, 'vms', 'vms', vm.id))).filter((name) => name.startsWith('disk-'))
  const before = await disksOf()
  await vm.exportDisk(diskOf(vm), join(exports, 'disk')).unwrap()
  expect((await readFile(join(exports, 'disk'))).equals(Buffer.alloc(mebibyte))).toBe(true)
  expect(await disksOf()).toEqual(before)
})

test('other formats than raw are refused, and named as a capability', async () => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
  const job = vm.exportDisk(diskOf(vm), join(exports, 'disk'), { format: 'qcow2', compress: true })
  expect((await failureOf(job, 'NOT_SUPPORTED')).capability).toBe('vm.exportDisk.formats')
  expect(await readdir(exports)).toEqual([])
})

test('an export is ended by the end of its connection, and leaves nothing', async () => {
  const server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1024 }] }).unwrap()
  const job = vm.exportDisk(diskOf(vm), join(exports, 'disk'))
  await new Promise<void>((resolve) => {
    job.onProgress(() => {
      resolve()
    })
  })
  await server.close().unwrap()
  const result = await job
  if (result.isErr()) expect(result.error.code).toBe('OUTCOME_UNKNOWN')
  expect(await readdir(exports)).toEqual(result.isErr() ? [] : ['disk'])
})
