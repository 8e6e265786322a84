import type { DiskBus } from 'awaitvm'
import { expect, test } from 'vitest'
import { commandLine as commandLineIn } from '../../../../src/drivers/qmp/hardware/command-line.js'
import type { Hardware } from '../../../../src/drivers/qmp/definition.js'
import type { FolderId } from '../../../../src/drivers/qmp/process/own-qemu.js'
import type { Accelerator } from '../../../../src/drivers/qmp/process/accelerator.js'

const id = '01234567-89ab-4cde-8f01-23456789abcd'
const bare: Hardware = {
  machine: 'pc-i440fx-7.2',
  cpus: 2,
  memoryMiB: 64,
  disks: [],
  cdroms: [],
  floppies: [],
  boot: {},
  networkAdapters: [],
  images: {},
}

const commandLine = (
  vm: string,
  hardware: Hardware,
  accelerator: Accelerator,
  startedMiB = hardware.memoryMiB,
): string[] => commandLineIn(vm, hardware, { accelerator, startedMiB, directory: '1:2' })

/** The values of all uses of an option. */
function valuesOf(words: readonly string[], option: string): string[] {
  return words.flatMap((word, index) => (word === option ? [words[index + 1] ?? ''] : []))
}
const devicesOf = (words: readonly string[]): Record<string, unknown>[] =>
  valuesOf(words, '-device').map((text) => JSON.parse(text))

test('a VM starts paused and sandboxed, without default devices', () => {
  const words = commandLine(id, bare, 'tcg')
  for (const word of ['-S', '-nodefaults', '-no-user-config']) expect(words).toContain(word)
  expect(valuesOf(words, '-sandbox')).toEqual([
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  ])
  expect(valuesOf(words, '-machine')).toEqual(['pc-i440fx-7.2'])
  expect(valuesOf(words, '-uuid')).toEqual([id])
  expect([valuesOf(words, '-smp'), valuesOf(words, '-m')]).toEqual([['2'], ['64M']])
  expect(words).not.toContain('-netdev')
})

test('the processor model has all that the accelerator offers', () => {
  expect(valuesOf(commandLine(id, bare, 'kvm'), '-cpu')).toEqual(['host'])
  expect(valuesOf(commandLine(id, bare, 'tcg'), '-cpu')).toEqual(['max'])
})

test('the format of every image is given, and none is taken from a header', () => {
  const words = commandLine(
    id,
    {
      ...bare,
      disks: [
        { id, sizeMiB: 1, file: 'disk-01234567-89ab-4cde-8f01-23456789abcd.qcow2' },
        { id, image: '/images/a,b.raw', file: 'disk-b.qcow2' },
      ],
      cdroms: [{ image: '/images/cd.iso' }],
      floppies: [{ image: '/images/floppy' }],
    },
    'tcg',
  )
  const nodes = valuesOf(words, '-blockdev').map((text) => JSON.parse(text))
  expect(nodes.map(({ driver }) => driver)).toEqual(['qcow2', 'qcow2', 'raw', 'raw'])
  expect(nodes[0]).toMatchObject({ 'node-name': 'disk-01234567-89ab-4cde', backing: null })
  expect(nodes[1]).toMatchObject({
    backing: { driver: 'raw', 'read-only': true, file: { filename: '/images/a,b.raw' } },
  })
  expect(nodes.slice(2).every((node) => node['read-only'] === true)).toBe(true)
  expect(words).not.toContain('-drive')
})

test('the whole backing chain of a disk is given, and is read-only', () => {
  const disks = [{ id, image: '/image', file: 'disk-a.qcow2', bases: ['base-b.qcow2', 'base-c.qcow2'] }]
  const [text = ''] = valuesOf(commandLine(id, { ...bare, disks }, 'tcg'), '-blockdev')
  const readOnly = (filename: string): unknown => ({ driver: 'file', filename, 'read-only': true })
  expect(JSON.parse(text).backing).toEqual({
    driver: 'qcow2',
    'read-only': true,
    file: readOnly('base-b.qcow2'),
    backing: {
      driver: 'qcow2',
      'read-only': true,
      file: readOnly('base-c.qcow2'),
      backing: { driver: 'raw', 'read-only': true, file: readOnly('/image') },
    },
  })
})

test('an image is opened in the format that was found when the disk was made, and one that was converted is not opened', () => {
  const disks = [
    { id, image: '/images/a.qcow2', file: 'disk-a.qcow2' },
    { id, image: '/images/b.vmdk', file: 'disk-b.qcow2', bases: ['base-b.qcow2'] },
  ]
  const stamp = { sizeBytes: 1, changedNs: '1' }
  const images = {
    '/images/a.qcow2': { ...stamp, disk: { format: 'qcow2', diskBytes: 512 } },
    '/images/b.vmdk': { ...stamp, disk: { format: 'vmdk', diskBytes: 512 } },
  } as const
  const words = valuesOf(commandLine(id, { ...bare, disks, images }, 'tcg'), '-blockdev')
  const opened = (filename: string): unknown => ({
    driver: 'qcow2',
    'read-only': true,
    file: { driver: 'file', filename, 'read-only': true },
    backing: null,
  })
  expect(words.map((text) => JSON.parse(text).backing)).toEqual([opened('/images/a.qcow2'), opened('base-b.qcow2')])
})

test.each<[Hardware['machine'], string, unknown[]]>([
  [
    'pc-q35-7.2',
    'sata',
    [
      ['virtio-blk-pci', 'plug', undefined],
      ['scsi-hd', 'scsi.0', 0],
      ['ide-hd', 'ide.0', undefined],
      ['ide-hd', 'ide.1', undefined],
      ['ide-cd', 'ide.5', undefined],
      ['scsi-cd', 'scsi.0', 31],
    ],
  ],
  [
    'pc-i440fx-7.2',
    'ide',
    [
      ['virtio-blk-pci', undefined, undefined],
      ['scsi-hd', 'scsi.0', 0],
      ['ide-hd', 'ide.0', 0],
      ['ide-hd', 'ide.0', 1],
      ['ide-cd', 'ide.1', 1],
      ['scsi-cd', 'scsi.0', 31],
    ],
  ],
])(
  'the drives of %s are on the buses that they name; CD-ROMs are at the end of %s if they name none',
  (machine, own, expected) => {
    const disks = (['virtio', 'scsi', own, own] as DiskBus[]).map((bus, index) => ({
      id,
      sizeMiB: 1,
      bus,
      file: `disk-${index}.qcow2`,
    }))
    const cdroms = [{ image: '/cd' }, { image: '/cd', bus: 'scsi' as const }]
    const drives = devicesOf(commandLine(id, { ...bare, machine, disks, cdroms }, 'tcg')).filter(({ drive }) => drive)
    expect(drives.map((drive) => [drive['driver'], drive['bus'], drive['unit'] ?? drive['scsi-id']])).toEqual(expected)
  },
)

test('q35 plugs disks behind a bridge, where seed and balloon have the last slots, and has a controller for floppies if it needs one', () => {
  const hardware: Hardware = {
    ...bare,
    machine: 'pc-q35-7.2',
    disks: [{ id, sizeMiB: 1, bus: 'virtio', slot: 16, file: 'disk-a.qcow2' }],
    floppies: [{ image: '/a' }],
    seed: { id, hostname: 'web-1' },
  }
  const devices = devicesOf(commandLine(id, hardware, 'tcg'))
  expect(devices.filter(({ bus }) => bus === 'plug').map((device) => [device['id'], device['addr']])).toEqual([
    ['balloon', '0x1f'],
    ['drive-disk-a.qcow2', '0x10'],
    ['drive-seed', '0x1e'],
  ])
  const drivers = devices.map(({ driver }) => driver)
  expect(drivers).toContain('pcie-pci-bridge')
  expect(drivers.indexOf('isa-fdc')).toBe(drivers.indexOf('floppy') - 1)
  const others = devicesOf(commandLine(id, { ...hardware, machine: 'pc-i440fx-7.2' }, 'tcg'))
  expect(others.map(({ driver }) => driver)).not.toContain('isa-fdc')
  expect(others.map(({ bus }) => bus)).not.toContain('plug')
})

test('disks of an older awaitvm share four IDE places with CD-ROMs, and further ones are virtio', () => {
  const disks = Array.from({ length: 4 }, (_, index) => ({ id, sizeMiB: 1, file: `disk-${index}.qcow2` }))
  const words = commandLine(id, { ...bare, disks, cdroms: [{ image: '/cd' }] }, 'tcg')
  const drives = devicesOf(words).filter(({ drive }) => drive !== undefined)
  expect(drives.map(({ driver, bus, unit }) => [driver, bus, unit])).toEqual([
    ['ide-hd', 'ide.0', 0],
    ['ide-hd', 'ide.0', 1],
    ['ide-hd', 'ide.1', 0],
    ['virtio-blk-pci', undefined, undefined],
    ['ide-cd', 'ide.1', 1],
  ])
})

test('a disk that was plugged while its VM ran stays in its slot, and leaves the IDE place to others', () => {
  const disks = [1, 2, 3].map((sizeMiB) => ({
    id,
    sizeMiB,
    file: `disk-${sizeMiB}.qcow2`,
    ...(sizeMiB === 2 && { slot: 16 }),
  }))
  const drives = devicesOf(commandLine(id, { ...bare, disks }, 'tcg')).filter(({ drive }) => drive !== undefined)
  expect(drives.map(({ driver, bus, unit, addr }) => [driver, bus, unit, addr])).toEqual([
    ['ide-hd', 'ide.0', 0, undefined],
    ['virtio-blk-pci', undefined, undefined, '0x10'],
    ['ide-hd', 'ide.0', 1, undefined],
  ])
})

test('memory is loaded into a QEMU with as much as the one that it was saved from', () => {
  expect(valuesOf(commandLine(id, bare, 'tcg', 128), '-m')).toEqual(['128M'])
})

test('a BIOS is given as a file, and the code and variables of a UEFI as flash memory of the machine', () => {
  const withBoot = (firmware?: string): string[] => commandLine(id, { ...bare, boot: { firmware } }, 'tcg')
  expect(valuesOf(withBoot('/bios.bin'), '-bios')).toEqual(['/bios.bin'])
  for (const firmware of [undefined, 'bios']) expect(withBoot(firmware)).not.toContain('-bios')
  const variables = { id, sizeMiB: 0.515625, file: 'disk-01234567-89ab-4cde-8f01-23456789abcd.qcow2' }
  const flash = { code: '/code,x.fd', variables }
  const words = commandLine(id, { ...bare, boot: { firmware: 'uefi' }, flash }, 'tcg')
  expect(words).not.toContain('-bios')
  expect(valuesOf(words, '-machine')).toEqual(['pc-i440fx-7.2,pflash0=firmware,pflash1=disk-01234567-89ab-4cde'])
  expect(valuesOf(words, '-blockdev').map((text) => JSON.parse(text))).toMatchObject([
    { 'node-name': 'firmware', driver: 'raw', 'read-only': true, file: { filename: '/code,x.fd' } },
    { 'node-name': 'disk-01234567-89ab-4cde', driver: 'qcow2', file: { filename: variables.file }, backing: null },
  ])
  expect(devicesOf(words).filter(({ drive }) => drive !== undefined)).toEqual([])
})

test('devices are booted in the requested order, and not at all if a kernel is booted', () => {
  const hardware: Hardware = { ...bare, disks: [{ id, sizeMiB: 1, file: 'disk-a.qcow2' }], cdroms: [{ image: '/cd' }] }
  const indexes = (boot: Hardware['boot']): unknown[] =>
    devicesOf(commandLine(id, { ...hardware, boot }, 'tcg'))
      .filter(({ drive }) => drive !== undefined)
      .map(({ bootindex }) => bootindex)
  expect(indexes({})).toEqual([0, 100])
  expect(indexes({ order: ['cdrom', 'disk'] })).toEqual([100, 0])
  expect(indexes({ order: ['cdrom'] })).toEqual([undefined, 0])
  expect(indexes({ kernel: '/vmlinuz' })).toEqual([undefined, undefined])
})

test('each network adapter has a network of its own, restricted unless it is outbound', () => {
  const adapter = {
    network: 'user' as const,
    outbound: false,
    portForwards: [{ guestPort: 22, protocol: 'tcp' as const, hostAddress: '127.0.0.1' }],
  }
  const networkAdapters = [
    { ...adapter, macAddress: '52:54:00:00:00:01' },
    { ...adapter, macAddress: '52:54:00:00:00:02', outbound: true },
  ]
  const words = commandLine(id, { ...bare, networkAdapters }, 'tcg')
  expect(valuesOf(words, '-netdev').map((text) => JSON.parse(text))).toEqual([
    { type: 'user', id: 'net0', net: '10.0.2.0/24', ipv6: false, restrict: true },
    { type: 'user', id: 'net1', net: '10.0.3.0/24', 'ipv6-prefix': 'fec0:0:0:1::', restrict: false },
  ])
  expect(devicesOf(words).filter(({ driver }) => driver === 'virtio-net-pci')).toEqual([
    { driver: 'virtio-net-pci', netdev: 'net0', mac: '52:54:00:00:00:01', romfile: '' },
    { driver: 'virtio-net-pci', netdev: 'net1', mac: '52:54:00:00:00:02', romfile: '' },
  ])
})

test('adapters of one private network of a directory are in one group on the loopback interface', () => {
  const adapter = (name: string) => ({
    macAddress: '52:54:00:00:00:01',
    network: { private: name },
    outbound: false,
    portForwards: [],
  })
  const networks = (directory: FolderId, ...names: string[]): { readonly mcast: string }[] => {
    const networkAdapters = names.map(adapter)
    const start = { accelerator: 'tcg', startedMiB: 64, directory } as const
    return valuesOf(commandLineIn(id, { ...bare, networkAdapters }, start), '-netdev').map((text) => JSON.parse(text))
  }
  const [one, other, again] = networks('1:2', 'lab', 'lab 2', 'lab')
  const group = expect.stringMatching(/^239(?:\.\d{1,3}){3}:[12]\d{4}$/)
  expect(one).toEqual({ id: 'net0', type: 'socket', mcast: group, localaddr: '127.0.0.1' })
  expect(again?.mcast).toBe(one?.mcast)
  const [elsewhere] = networks('1:3', 'lab')
  expect(new Set([one?.mcast, other?.mcast, elsewhere?.mcast]).size).toBe(3)
})

test('an adapter on a bridge is on a hub, which nothing else is on when QEMU starts', () => {
  const adapter = { macAddress: '52:54:00:00:00:01', outbound: false, portForwards: [] }
  const networkAdapters = [
    { ...adapter, network: 'user' as const },
    { ...adapter, network: { bridge: 'br0' } },
  ]
  const words = valuesOf(commandLine(id, { ...bare, networkAdapters }, 'tcg'), '-netdev')
  expect(words.map((text) => JSON.parse(text))[1]).toEqual({ id: 'net1', type: 'hubport', hubid: 1 })
})

test('the boot order of floppies is set at their controller', () => {
  const hardware: Hardware = { ...bare, floppies: [{ image: '/a' }, { image: '/b' }] }
  const globals = (boot: Hardware['boot']): string[] =>
    valuesOf(commandLine(id, { ...hardware, boot }, 'tcg'), '-global')
  expect(globals({ order: ['floppy'] })).toEqual(['isa-fdc.bootindexA=0', 'isa-fdc.bootindexB=1'])
  expect(globals({ order: ['disk'] })).toEqual([])
})

test('boot settings of the caller are passed as single arguments', () => {
  const boot = { kernel: '/a b,c', initrd: '/initrd', commandLine: 'console=ttyS0 quiet, -daemonize' }
  const words = commandLine(id, { ...bare, boot }, 'tcg')
  expect(valuesOf(words, '-kernel')).toEqual(['/a b,c'])
  expect(valuesOf(words, '-append')).toEqual(['console=ttyS0 quiet, -daemonize'])
})
