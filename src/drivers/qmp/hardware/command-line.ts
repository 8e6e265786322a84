import type { Accelerator } from '../process/accelerator.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import { backingOf, readOnlyRaw, type QemuOptions } from '../disks/disk-chain.js'
import { newLayout, type Layout } from './layout.js'
import { networkDevices } from '../network/network-devices.js'

/** Names in the VM's folder, which is where QEMU runs: so no path is too long for a socket. */
export const runFiles = {
  /** The monitor of whoever has the claim on the VM. */
  control: 'control.sock',
  /** The monitor for those who only look. */
  watch: 'watch.sock',
  /** The monitor whose output goes to a file, whether anybody listens or not. */
  events: 'events.sock',
  eventLog: 'events.log',
  serial: 'serial.sock',
  console: 'console.log',
  agent: 'agent.sock',
  pid: 'qemu.pid',
  /** What QEMU itself says. */
  log: 'qemu.log',
} as const

type DriveKind = 'cdrom' | 'floppy'

/** The QMP name of a disk: its file's, as far as QEMU takes it. */
export const diskNode = ({ file }: Pick<DiskDefinition, 'file'>): string =>
  file.slice(0, 'disk-01234567-89ab-4cde'.length)
export const diskDevice = (disk: Pick<DiskDefinition, 'file'>): string => `drive-${diskNode(disk)}`
export const driveDevice = (kind: DriveKind, index: number): string => `drive-${kind}${String(index)}`

/** The last slot, so that the others have the slots that they had before there was a balloon. */
const balloonSlot = 31

/** QEMU's arguments for a VM that is halted until it is told to run. What the caller gave goes in as JSON, or with its commas doubled. */
export function commandLine(
  id: string,
  hardware: Hardware,
  accelerator: Accelerator,
  { memoryMiB, hasBalloon }: Layout = newLayout(hardware),
): string[] {
  const { machine, cpus, boot } = hardware
  return [
    ...['-name', `guest=${id},process=qemu-${id.slice(0, 8)}`, '-uuid', id],
    // Nothing but what is named here, whatever the computer's own configuration has.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ...['-machine', machine, '-accel', accelerator, '-cpu', accelerator === 'tcg' ? 'max' : 'host'],
    ...['-smp', String(cpus), '-m', `${String(memoryMiB)}M`],
    // A second QEMU on the same file ends before it takes anything from the first.
    ...['-pidfile', runFiles.pid],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...monitor('control', runFiles.control),
    ...monitor('watch', runFiles.watch),
    ...monitor('events', runFiles.events, runFiles.eventLog),
    ...socket('serial', runFiles.serial, runFiles.console),
    ...device({ driver: 'isa-serial', chardev: 'serial' }),
    ...device({ driver: 'VGA', ...(boot.videoFirmware !== undefined && { romfile: boot.videoFirmware }) }),
    ...device({ driver: 'pvpanic' }),
    ...device({ driver: 'virtio-serial-pci' }),
    ...socket('agent', runFiles.agent),
    ...device({ driver: 'virtserialport', id: 'agent-port', chardev: 'agent', name: 'org.qemu.guest_agent.0' }),
    ...(hasBalloon ? device({ driver: 'virtio-balloon-pci', id: 'balloon', addr: slotAddress(balloonSlot) }) : []),
    // Before the disks, which may come and go while the VM runs: so these have the same slots whichever disks there are.
    ...networkDevices(hardware.networkAdapters),
    ...drives(hardware),
    ...(boot.kernel === undefined ? [] : ['-kernel', boot.kernel]),
    ...(boot.initrd === undefined ? [] : ['-initrd', boot.initrd]),
    ...(boot.commandLine === undefined ? [] : ['-append', boot.commandLine]),
    ...(boot.firmware === undefined ? [] : ['-bios', boot.firmware]),
  ]
}

const device = (options: QemuOptions): string[] => ['-device', JSON.stringify(options)]
const blockdev = (options: QemuOptions): string[] => ['-blockdev', JSON.stringify(options)]

const socket = (id: string, path: string, log?: string): string[] => [
  '-chardev',
  `socket,id=${id},path=${path},server=on,wait=off${log === undefined ? '' : `,logfile=${log},logappend=on`}`,
]
const monitor = (id: string, path: string, log?: string): string[] => [
  ...socket(id, path, log),
  '-mon',
  `chardev=${id},mode=control`,
]

const slotAddress = (slot: number): string => `0x${slot.toString(16)}`

/** A disk's file as QEMU opens it: everything that it is made of is named, and nothing is taken from its header. */
export const diskBlockdev = (disk: DiskDefinition): QemuOptions => ({
  'node-name': diskNode(disk),
  driver: 'qcow2',
  // Room that a snapshot or the guest gives back is given back to the file system, too.
  discard: 'unmap',
  file: { driver: 'file', filename: disk.file, discard: 'unmap' },
  backing: backingOf(disk),
})

/** The device of a disk that is not one of IDE's. */
export const virtioDisk = (disk: DiskDefinition): QemuOptions => ({
  driver: 'virtio-blk-pci',
  ...(disk.slot !== undefined && { addr: slotAddress(disk.slot) }),
  id: diskDevice(disk),
  drive: diskNode(disk),
})

/** Nothing where the drive is empty. */
const medium = (node: string, image: string | undefined): string[] =>
  image === undefined ? [] : blockdev({ 'node-name': node, ...readOnlyRaw(image) })

const bootKinds = ['disk', 'cdrom', 'floppy'] as const

/**
 * The IDE place of each disk: IDE drives first, since every guest knows them. CD-ROMs have the last places, disks the others,
 * and those that have none are virtio's.
 */
export function idePlaces({ disks, cdroms }: Pick<Hardware, 'disks' | 'cdroms'>): (number | undefined)[] {
  let next = 0
  return disks.map(({ slot }) => (slot === undefined && next < firstCdromPlace(cdroms) ? next++ : undefined))
}

const firstCdromPlace = (cdroms: Hardware['cdroms']): number => 4 - cdroms.length

function drives(hardware: Hardware): string[] {
  const { disks, cdroms, floppies, boot } = hardware
  const order = boot.order ?? bootKinds
  const bootIndex = (kind: (typeof bootKinds)[number], index: number): { bootindex?: number } => {
    const rank = order.indexOf(kind)
    return rank < 0 || boot.kernel !== undefined ? {} : { bootindex: rank * 100 + index }
  }
  const ide = (place: number): QemuOptions => ({ bus: `ide.${String(place >> 1)}`, unit: place & 1 })
  const places = idePlaces(hardware)
  return [
    ...disks.flatMap((disk, index) => {
      const place = places[index]
      return [
        ...blockdev(diskBlockdev(disk)),
        ...device({
          ...virtioDisk(disk),
          ...(place !== undefined && { driver: 'ide-hd', ...ide(place) }),
          ...bootIndex('disk', index),
        }),
      ]
    }),
    ...cdroms.flatMap(({ image }, index) => [
      ...medium(`cdrom${String(index)}`, image),
      ...device({
        driver: 'ide-cd',
        ...ide(firstCdromPlace(cdroms) + index),
        id: driveDevice('cdrom', index),
        ...(image !== undefined && { drive: `cdrom${String(index)}` }),
        ...bootIndex('cdrom', index),
      }),
    ]),
    ...floppies.flatMap(({ image }, index) => {
      const { bootindex } = bootIndex('floppy', index)
      return [
        ...medium(`floppy${String(index)}`, image),
        ...device({
          driver: 'floppy',
          unit: index,
          id: driveDevice('floppy', index),
          ...(image !== undefined && { drive: `floppy${String(index)}` }),
        }),
        // Their controller has it, and comes with the machine.
        ...(bootindex === undefined
          ? []
          : ['-global', `isa-fdc.bootindex${index === 0 ? 'A' : 'B'}=${String(bootindex)}`]),
      ]
    }),
  ]
}
