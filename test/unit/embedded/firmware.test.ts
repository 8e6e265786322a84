import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server, type VmSpec } from 'awaitvm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findFirmware } from '../../../src/drivers/embedded/firmware.js'
import { skipWithout } from '../../support/optional-tool.js'

const missing = await findFirmware().then(
  () => undefined,
  () => 'not installed: SeaBIOS (apt install seabios)',
)

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-firmware-'))
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

test('a missing firmware is a typed error that names the folders searched, and what to install', async () => {
  await expect(findFirmware([directory])).rejects.toMatchObject({ code: 'FIRMWARE_NOT_FOUND' })
  await expect(findFirmware([directory])).rejects.toThrow(directory)
  await expect(findFirmware([directory])).rejects.toThrow('apt install seabios')
})

/** Prints its name on COM1, and halts for good: `mov dx, 0x3f8`, then `mov al, X; out dx, al` each, then `cli; hlt`. */
function bootSector(name: string): Buffer {
  const sector = Buffer.alloc(512)
  sector.set([0xba, 0xf8, 0x03, ...[...Buffer.from(name)].flatMap((byte) => [0xb0, byte, 0xee]), 0xfa, 0xf4])
  sector.set([0x55, 0xaa], 510)
  return sector
}

/** An ISO 9660 image that is nothing but bootable: El Torito's boot record, catalog and an image without emulation. */
function bootableCd(name: string): Buffer {
  const sectors = Buffer.alloc(24 * 2048)
  const at = (sector: number): Buffer => sectors.subarray(sector * 2048)
  at(16).set(Buffer.from('\x01CD001\x01', 'latin1'))
  at(17).set(Buffer.from('\x00CD001\x01EL TORITO SPECIFICATION', 'latin1'))
  at(17).writeUInt32LE(19, 0x47)
  at(18).set(Buffer.from('\xffCD001\x01', 'latin1'))
  const catalog = at(19)
  catalog.set([0x01, 0x00], 0)
  catalog.set([0x55, 0xaa], 30)
  // The words of the validation entry sum up to zero.
  catalog.writeUInt16LE((0x10000 - 0x0001 - 0xaa55) & 0xffff, 28)
  catalog.set([0x88, 0x00], 32)
  catalog.writeUInt16LE(1, 38)
  catalog.writeUInt32LE(20, 40)
  at(20).set(bootSector(name))
  return sectors
}

describe('with SeaBIOS', () => {
  let server: Server

  beforeEach(async (context) => {
    skipWithout(context, missing)
    server = await connect('embedded:').unwrap()
  })

  afterEach(async () => {
    if (missing === undefined) await server.close()
  })

  const image = async (name: string, content: Buffer): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, content)
    return path
  }

  /** What the guest says until it halts. */
  const boot = async (spec: Omit<VmSpec, 'name'>): Promise<string> => {
    const vm = await server.createVm({ name: 'vm', memoryMiB: 32, ...spec }).unwrap()
    await vm.start().unwrap()
    let text = ''
    for await (const chunk of vm.console().setEncoding('utf8')) text += String(chunk)
    expect(await vm.waitForState('stopped').unwrap()).toBe('stopped')
    await vm.delete().unwrap()
    return text
  }

  test('a disk boots, and its image is only read', async () => {
    const disk = Buffer.concat([bootSector('DISK'), Buffer.alloc(1024 * 1024 - 512)])
    const path = await image('disk.img', disk)
    expect(await boot({ disks: [{ image: path }] })).toContain('DISK')
    expect(disk.equals(await readFile(path))).toBe(true)
  })

  test('a floppy boots', async () => {
    const floppy = Buffer.concat([bootSector('FLOPPY'), Buffer.alloc(1440 * 1024 - 512)])
    expect(await boot({ floppies: [{ image: await image('floppy.img', floppy) }] })).toContain('FLOPPY')
  })

  test('a CD-ROM boots', async () => {
    expect(await boot({ cdroms: [{ image: await image('cd.iso', bootableCd('CDROM')) }] })).toContain('CDROM')
  })

  test('the boot order is kept', async () => {
    const disk = await image('first.img', Buffer.concat([bootSector('DISK'), Buffer.alloc(1024 * 1024 - 512)]))
    const cd = await image('first.iso', bootableCd('CDROM'))
    const both = { disks: [{ image: disk }], cdroms: [{ image: cd }] }
    expect(await boot({ ...both, boot: { order: ['cdrom', 'disk'] } })).toContain('CDROM')
    expect(await boot({ ...both, boot: { order: ['disk', 'cdrom'] } })).toContain('DISK')
  })

  test('a firmware image that the VM names is used', async () => {
    const { bios } = await findFirmware()
    const disk = await image('named.img', Buffer.concat([bootSector('NAMED'), Buffer.alloc(1024 * 1024 - 512)]))
    const firmware = await image('own-bios.bin', Buffer.from(bios))
    expect(await boot({ disks: [{ image: disk }], boot: { firmware } })).toContain('NAMED')
  })
})

test('a firmware image that is too large for its place is refused when it is named', async () => {
  await using server = await connect('embedded:').unwrap()
  const firmware = join(directory, 'large.bin')
  await writeFile(firmware, '')
  await truncate(firmware, 3 * 2 ** 30)
  const refused = await server.createVm({ name: 'web-1', boot: { firmware } })
  expect(refused).toMatchObject({ error: { code: 'INVALID_ARGUMENT', path: 'spec.boot.firmware' } })
})

test('UEFI is refused by name, and the BIOS that is installed can be asked for', async () => {
  await using server = await connect('embedded:').unwrap()
  const refused = await server.createVm({ name: 'web-1', boot: { firmware: 'uefi' } })
  expect(refused).toMatchObject({ error: { code: 'NOT_SUPPORTED', path: 'spec.boot.firmware' } })
  const vm = await server.createVm({ name: 'web-1', boot: { firmware: 'bios' } }).unwrap()
  expect(vm.config.boot).toEqual({ firmware: 'bios' })
})
