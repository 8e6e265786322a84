import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MachineSpec } from '../../../src/drivers/embedded/machine/protocol.js'
import { TestMachine } from '../../support/embedded-machine.js'
import { missingFile, skipWithout } from '../../support/optional-tool.js'

const biosPath = '/usr/share/seabios/bios.bin'
const videoBiosPath = '/usr/share/seabios/vgabios-stdvga.bin'
const missingFirmware = missingFile(biosPath, 'seabios')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-firmware-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Prints a letter on COM1, waits for the power button at port 0x600, powers off at port 0x604. */
const bootSector = (letter: string): Buffer => {
  const sector = Buffer.alloc(512)
  sector.set([
    ...[0xba, 0xf8, 0x03, 0xb0, letter.charCodeAt(0), 0xee, 0xb0, 0x0a, 0xee],
    ...[0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef],
    ...[0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf7],
    ...[0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef],
    ...[0xf4, 0xeb, 0xfd],
  ])
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

const image = (name: string, size: number, letter: string): string => {
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat([bootSector(letter), Buffer.alloc(size - 512)]))
  return path
}

const firmwareSpec = (): Partial<MachineSpec> => ({
  memoryMiB: 32,
  boot: { kind: 'firmware', bios: readFileSync(biosPath), videoBios: readFileSync(videoBiosPath) },
})

test('SeaBIOS boots a disk, whose boot sector sees the power button and powers off', async (context) => {
  skipWithout(context, missingFirmware)
  const base = image('disk', 1 << 20, 'D')
  await using vm = await TestMachine.load({
    ...firmwareSpec(),
    disks: [{ base, sizeBytes: 1 << 20, overlay: { kind: 'memory' } }],
  })
  await vm.machine.start()
  await vm.log.untilOutput('D\n')
  const { width, height, rgba } = await vm.machine.screenshot()
  expect([width, height]).toEqual([720, 400])
  expect(rgba.some((value, index) => index % 4 !== 3 && value !== 0)).toBe(true)

  const initialState = await vm.machine.saveState()
  await vm.machine.reset()
  await vm.log.untilOutput('D\n', 2)
  await vm.machine.pressPowerButton()
  await vm.log.untilReport('power off: acpi')

  await using restored = await TestMachine.load({
    ...firmwareSpec(),
    disks: [{ base, sizeBytes: 1 << 20, overlay: { kind: 'memory' } }],
    initialState,
  })
  await restored.machine.start()
  await restored.machine.pressPowerButton()
  await restored.log.untilReport('power off: acpi')
})

test.each([
  ['the floppy, by default', undefined, 'F'],
  ['the disk, if that comes first', ['disk', 'floppy'] as const, 'D'],
])('SeaBIOS boots %s', async (_name, bootOrder, letter) => {
  if (missingFirmware !== undefined) return
  await using vm = await TestMachine.load({
    ...firmwareSpec(),
    disks: [{ base: image('disk', 1 << 20, 'D'), sizeBytes: 1 << 20, overlay: { kind: 'memory' } }],
    floppies: [{ path: image('floppy', 1_474_560, 'F') }],
    cdrom: { path: image('cdrom', 1 << 20, 'C') },
    bootOrder,
  })
  await vm.machine.start()
  await vm.log.untilOutput(`${letter}\n`)
})

test('firmware of a size that does not fit is refused', async () => {
  for (const size of [0, 0x4_0000]) {
    await expect(TestMachine.load({ boot: { kind: 'firmware', bios: new Uint8Array(size) } })).rejects.toMatchObject({
      name: 'BootImageError',
      file: 'firmware',
    })
  }
})
