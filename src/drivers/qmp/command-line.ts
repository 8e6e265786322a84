import type { Accelerator } from './accelerator.js'
import type { DiskDefinition, Hardware } from './definition.js'
import { networkDevices } from './network-devices.js'

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

/** The QMP name of a disk, by its place among the disks. */
export const diskNode = (index: number): string => `disk${String(index)}`

/** QEMU's arguments for a VM that is halted until it is told to run. What the caller gave goes in as JSON, or with its commas doubled. */
export function commandLine(id: string, hardware: Hardware, accelerator: Accelerator): string[] {
  const { machine, cpus, memoryMiB, boot } = hardware
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
    ...drives(hardware),
    ...networkDevices(hardware.networkAdapters),
    ...(boot.kernel === undefined ? [] : ['-kernel', boot.kernel]),
    ...(boot.initrd === undefined ? [] : ['-initrd', boot.initrd]),
    ...(boot.commandLine === undefined ? [] : ['-append', boot.commandLine]),
    ...(boot.firmware === undefined ? [] : ['-bios', boot.firmware]),
  ]
}

type Json = Readonly<Record<string, unknown>>

const device = (options: Json): string[] => ['-device', JSON.stringify(options)]
const blockdev = (options: Json): string[] => ['-blockdev', JSON.stringify(options)]

const socket = (id: string, path: string, log?: string): string[] => [
  '-chardev',
  `socket,id=${id},path=${path},server=on,wait=off${log === undefined ? '' : `,logfile=${log},logappend=on`}`,
]
const monitor = (id: string, path: string, log?: string): string[] => [
  ...socket(id, path, log),
  '-mon',
  `chardev=${id},mode=control`,
]

const readOnlyRaw = (filename: string): Json => ({
  driver: 'raw',
  'read-only': true,
  file: { driver: 'file', filename, 'read-only': true },
})

/** A disk's file as QEMU opens it: everything that it is made of is named, and nothing is taken from its header. */
const diskBlockdev = (disk: DiskDefinition): Json => ({
  driver: 'qcow2',
  // Room that a snapshot or the guest gives back is given back to the file system, too.
  discard: 'unmap',
  file: { driver: 'file', filename: disk.file, discard: 'unmap' },
  backing: disk.image === undefined ? null : readOnlyRaw(disk.image),
})

const bootKinds = ['disk', 'cdrom', 'floppy'] as const

/** IDE drives first, since every guest knows them: CD-ROMs have the last places, disks the others, and virtio the rest. */
function drives({ disks, cdroms, floppies, boot }: Hardware): string[] {
  const order = boot.order ?? bootKinds
  const bootIndex = (kind: (typeof bootKinds)[number], index: number): { bootindex?: number } => {
    const rank = order.indexOf(kind)
    return rank < 0 || boot.kernel !== undefined ? {} : { bootindex: rank * 100 + index }
  }
  const idePlaces = 4 - cdroms.length
  const ide = (place: number): Json => ({ bus: `ide.${String(place >> 1)}`, unit: place & 1 })
  return [
    ...disks.flatMap((disk, index) => [
      ...blockdev({ 'node-name': diskNode(index), ...diskBlockdev(disk) }),
      ...device({
        ...(index < idePlaces ? { driver: 'ide-hd', ...ide(index) } : { driver: 'virtio-blk-pci' }),
        id: `drive-${diskNode(index)}`,
        drive: diskNode(index),
        ...bootIndex('disk', index),
      }),
    ]),
    ...cdroms.flatMap(({ image }, index) => [
      ...blockdev({ 'node-name': `cdrom${String(index)}`, ...readOnlyRaw(image) }),
      ...device({
        driver: 'ide-cd',
        ...ide(idePlaces + index),
        drive: `cdrom${String(index)}`,
        ...bootIndex('cdrom', index),
      }),
    ]),
    ...floppies.flatMap(({ image }, index) => {
      const { bootindex } = bootIndex('floppy', index)
      return [
        ...blockdev({ 'node-name': `floppy${String(index)}`, ...readOnlyRaw(image) }),
        ...device({ driver: 'floppy', unit: index, drive: `floppy${String(index)}` }),
        // Their controller has it, and comes with the machine.
        ...(bootindex === undefined
          ? []
          : ['-global', `isa-fdc.bootindex${index === 0 ? 'A' : 'B'}=${String(bootindex)}`]),
      ]
    }),
  ]
}
