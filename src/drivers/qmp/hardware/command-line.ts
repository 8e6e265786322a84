import type { Accelerator } from '../process/accelerator.js'
import type { FolderId } from '../process/own-qemu.js'
import type { RunPlan } from '../process/run-record.js'
import { seedFiles, type Hardware, type Seed } from '../definition.js'
import { readOnlyRaw, type QemuOptions } from '../disks/disk-chain.js'
import { diskBlockdev, diskNode, diskAt, driveDevice, driveOnBus, scsiController } from '../disks/disk-devices.js'
import { placedDrives } from '../disks/drive-places.js'
import { firmwareFile } from '../../../model/boot-firmware.js'
import { hasSecureBoot } from '../firmware/flash.js'
import { networkDevices } from '../network/network-devices.js'
import { portName } from '../../../guest-agent/shell-script.js'
import { shareDevices, sharedMemory } from '../shares/share-devices.js'
import { runFiles } from '../run-files.js'
import { tpmArguments } from './tpm.js'
import { bridge, inSlot, kindOfMachine, type MachineKind } from './machine.js'

/** The last slots, behind that of the shares: disks take the ones before them. */
const balloonSlot = 31
const seedSlot = 30

/**
 * QEMU's arguments for a VM, whose guest starts paused. Values from callers are passed as JSON, or with doubled commas.
 *
 * @param start.startedMiB the memory, which differs from the VM's setting if saved memory is loaded and the VM was edited before
 * @param start.directory the directory that the VM is in
 */
export function commandLine(
  id: string,
  hardware: Hardware,
  {
    accelerator,
    startedMiB,
    directory,
  }: Pick<RunPlan, 'accelerator' | 'startedMiB'> & { readonly directory: FolderId },
): string[] {
  const { machine, cpus, boot, flash, shares = [] } = hardware
  const kind = kindOfMachine(machine)
  const memory = sharedMemory(shares, startedMiB)
  return [
    ...['-name', `guest=${id},process=qemu-${id.slice(0, 8)}`, '-uuid', id],
    // No devices or settings from the computer's own configuration.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ...[
      '-machine',
      [
        machine,
        ...machineOptions(kind, accelerator, boot),
        ...(flash === undefined ? [] : [flashNodes(flash)]),
        ...memory.machineOptions,
      ].join(','),
      '-accel',
      accelerator,
      '-cpu',
      processor(kind, accelerator),
    ],
    ...['-smp', String(cpus), '-m', `${String(startedMiB)}M`, ...memory.words],
    // A second QEMU for the same VM fails on this lock before it opens anything.
    ...['-pidfile', runFiles.pid],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...monitor('control', runFiles.control),
    ...monitor('watch', runFiles.watch),
    ...monitor('events', runFiles.events, runFiles.eventLog),
    ...socket('serial', runFiles.serial, runFiles.console),
    ...(kind === 'virt' ? boardDevices : pcDevices(boot)),
    ...(kind === 'q35' ? device({ driver: 'pcie-pci-bridge', id: bridge }) : []),
    ...device({ driver: 'virtio-serial-pci' }),
    ...socket('agent', runFiles.agent),
    ...device({ driver: 'virtserialport', id: 'agent-port', chardev: 'agent', name: 'org.qemu.guest_agent.0' }),
    ...socket('bulk', runFiles.bulk),
    ...device({ driver: 'virtserialport', id: 'bulk-port', chardev: 'bulk', name: portName }),
    ...device({ driver: 'virtio-balloon-pci', id: 'balloon', ...inSlot(machine, balloonSlot) }),
    // Adapters precede disks, which may be plugged and unplugged, so that they always have the same slots.
    ...networkDevices(hardware.networkAdapters, directory),
    ...drives(hardware),
    ...shareDevices(id, shares, machine),
    ...(hardware.seed === undefined ? [] : seedDisk(hardware.seed, machine)),
    ...(hardware.tpm === undefined ? [] : tpmArguments(kind)),
    ...(boot.kernel === undefined ? [] : ['-kernel', boot.kernel]),
    ...(boot.initrd === undefined ? [] : ['-initrd', boot.initrd]),
    ...(boot.commandLine === undefined ? [] : ['-append', boot.commandLine]),
    ...(flash === undefined ? bios(boot.firmware) : flashMemory(flash, hardware)),
    ...(needsSmm(kind, boot) ? smmSettings : []),
    ...(hardware.extraArguments ?? []),
  ]
}

/**
 * The interrupt controller of aarch64: version 3, which has room for all processors, or by KVM and HVF what these have.
 */
function machineOptions(kind: MachineKind, accelerator: Accelerator, boot: Hardware['boot']): string[] {
  if (kind === 'virt') return [`gic-version=${accelerator === 'tcg' ? '3' : 'max'}`]
  return needsSmm(kind, boot) ? ['smm=on'] : []
}

/** On a PC, only the firmware may write to the variables with the keys: by the system management mode of the processor. */
const needsSmm = (kind: MachineKind, boot: Hardware['boot']): boolean => kind === 'q35' && hasSecureBoot(boot)
/** From sleep (S3), which would skip the locks, OVMF in system management mode does not wake up (OvmfPkg/README). */
const smmSettings = [
  ...['-global', 'driver=cfi.pflash01,property=secure,value=on'],
  ...['-global', 'ICH9-LPC.disable_s3=1'],
]

/** All that the accelerator offers. ARM's algorithm for signed pointers is slow to emulate, so a simple one takes its place. */
function processor(kind: MachineKind, accelerator: Accelerator): string {
  if (accelerator !== 'tcg') return 'host'
  return kind === 'virt' ? 'max,pauth-impdef=on' : 'max'
}

const device = (options: QemuOptions): string[] => ['-device', JSON.stringify(options)]
const blockdev = (options: QemuOptions): string[] => ['-blockdev', JSON.stringify(options)]

const pcDevices = ({ videoFirmware }: Hardware['boot']): string[] => [
  ...device({ driver: 'isa-serial', chardev: 'serial' }),
  ...device({ driver: 'VGA', ...(videoFirmware !== undefined && { romfile: videoFirmware }) }),
  ...device({ driver: 'pvpanic' }),
]

/** The machine of aarch64 has a serial port, but neither a keyboard nor slots other than those of PCI. */
const boardDevices = [
  ...['-serial', 'chardev:serial'],
  ...device({ driver: 'virtio-gpu-pci' }),
  ...device({ driver: 'qemu-xhci' }),
  ...device({ driver: 'usb-kbd' }),
  ...device({ driver: 'pvpanic-pci' }),
]

const bios = (firmware: string | undefined): string[] => {
  const file = firmwareFile(firmware)
  return file === undefined ? [] : ['-bios', file]
}

type Flash = NonNullable<Hardware['flash']>
const codeNode = 'firmware'

/** The flash memories of a PC, which are a part of the machine: the first one has the code, and the second the variables. */
const flashNodes = ({ variables }: Flash): string => `pflash0=${codeNode},pflash1=${diskNode(variables)}`
const flashMemory = ({ code, variables }: Flash, hardware: Hardware): string[] => [
  ...blockdev({ 'node-name': codeNode, ...readOnlyRaw(code) }),
  ...blockdev(diskBlockdev(variables, hardware)),
]

const socket = (id: string, path: string, log?: string): string[] => [
  '-chardev',
  `socket,id=${id},path=${path},server=on,wait=off${log === undefined ? '' : `,logfile=${log},logappend=on`}`,
]
const monitor = (id: string, path: string, log?: string): string[] => [
  ...socket(id, path, log),
  '-mon',
  `chardev=${id},mode=control`,
]

/** The block device of a medium; none if the drive is empty. */
const medium = (node: string, image: string | undefined): string[] =>
  image === undefined ? [] : blockdev({ 'node-name': node, ...readOnlyRaw(image) })

/** cloud-init finds the seed by its label. As a disk of its own it takes no place of a CD-ROM drive. */
const seedDisk = (seed: Seed, machine: string): string[] => [
  ...blockdev({ 'node-name': 'seed', ...readOnlyRaw(seedFiles(seed).image) }),
  ...device({ driver: 'virtio-blk-pci', ...inSlot(machine, seedSlot), id: 'drive-seed', drive: 'seed' }),
]

const bootKinds = ['disk', 'cdrom', 'floppy'] as const

function drives(hardware: Hardware): string[] {
  const { floppies, boot, machine } = hardware
  const order = boot.order ?? bootKinds
  const bootIndex = (kind: (typeof bootKinds)[number], index: number): { bootindex?: number } => {
    const rank = order.indexOf(kind)
    return rank < 0 || boot.kernel !== undefined ? {} : { bootindex: rank * 100 + index }
  }
  const { disks, cdroms } = placedDrives(hardware)
  const hasScsi = [...disks, ...cdroms].some(({ bus }) => bus === 'scsi')
  return [
    ...(hasScsi ? device({ driver: 'virtio-scsi-pci', id: scsiController }) : []),
    ...disks.flatMap(({ drive: disk, ...place }, index) => [
      ...blockdev(diskBlockdev(disk, hardware)),
      ...device({ ...diskAt(disk, place, machine), ...bootIndex('disk', index) }),
    ]),
    ...cdroms.flatMap(({ drive: { image }, ...place }, index) => [
      ...medium(`cdrom${String(index)}`, image),
      ...device({
        ...driveOnBus(place, 'cd'),
        id: driveDevice('cdrom', index),
        ...(image !== undefined && { drive: `cdrom${String(index)}` }),
        ...bootIndex('cdrom', index),
      }),
    ]),
    // Q35 has no controller for floppies of its own.
    ...(floppies.length > 0 && kindOfMachine(machine) === 'q35' ? device({ driver: 'isa-fdc' }) : []),
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
        // The boot order of floppies is a setting of their controller, which is part of the machine.
        ...(bootindex === undefined
          ? []
          : ['-global', `isa-fdc.bootindex${index === 0 ? 'A' : 'B'}=${String(bootindex)}`]),
      ]
    }),
  ]
}
