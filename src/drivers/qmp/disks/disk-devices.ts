import type { DiskDefinition } from '../definition.js'
import { inSlot } from '../hardware/machine.js'
import { backingOf, type KnownImages, type QemuOptions } from './disk-chain.js'
import type { DrivePlace } from './drive-places.js'

type DriveKind = 'cdrom' | 'floppy'

/** The node name of a disk: the name of its file, shortened to QEMU's limit. */
export const diskNode = ({ file }: Pick<DiskDefinition, 'file'>): string =>
  file.slice(0, 'disk-01234567-89ab-4cde'.length)
/** The id of a disk's device, which has the name of the file that QEMU was started with. */
export const diskDevice = ({ file, formerFiles: [first = file] = [] }: NamedDisk): string =>
  `drive-${diskNode({ file: first })}`
type NamedDisk = Pick<DiskDefinition, 'file' | 'formerFiles'>

/** The nodes of a disk, from the one that is written to down to the oldest of the files that became bases since QEMU was started. */
export const diskNodes = ({ file, formerFiles = [] }: NamedDisk): string[] =>
  [...formerFiles, file].reverse().map((each) => diskNode({ file: each }))

export const driveDevice = (kind: DriveKind, index: number): string => `drive-${kind}${String(index)}`

/** The block device of a disk. All files of its chain are given, so that QEMU takes nothing from a header. */
export const diskBlockdev = (disk: DiskDefinition, known: KnownImages): QemuOptions => ({
  'node-name': diskNode(disk),
  driver: 'qcow2',
  // Space that a snapshot or the guest frees is freed in the file system, too.
  discard: 'unmap',
  file: { driver: 'file', filename: disk.file, discard: 'unmap' },
  backing: backingOf(disk, known),
})

/** The device of a virtio disk. */
export const virtioDisk = (disk: DiskDefinition, machine: string): QemuOptions => ({
  driver: 'virtio-blk-pci',
  ...inSlot(machine, disk.slot),
  id: diskDevice(disk),
  drive: diskNode(disk),
})

/** The device of a disk in its place. */
export const diskAt = (disk: DiskDefinition, place: DrivePlace, machine: string): QemuOptions =>
  place.bus === 'virtio'
    ? virtioDisk(disk, machine)
    : { ...driveOnBus(place, 'hd'), id: diskDevice(disk), drive: diskNode(disk) }

/** The device of a drive that is not virtio's: on a bus that the machine has, or of its SCSI controller. */
export const driveOnBus = ({ bus, place }: DrivePlace, kind: 'hd' | 'cd'): QemuOptions => {
  if (bus === 'scsi') return { driver: `scsi-${kind}`, bus: `${scsiController}.0`, 'scsi-id': place }
  // A port of SATA is a bus of its own in QEMU, with the name of an IDE bus.
  const unit = bus === 'sata' ? { bus: `ide.${String(place)}` } : { bus: `ide.${String(place >> 1)}`, unit: place & 1 }
  return { driver: `ide-${kind}`, ...unit }
}

/** The id of the SCSI controller. */
export const scsiController = 'scsi'
