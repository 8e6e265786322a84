import type { DiskDefinition, Hardware } from '../definition.js'
import { backingOf, type KnownImages, type QemuOptions } from './disk-chain.js'

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

export const slotAddress = (slot: number): string => `0x${slot.toString(16)}`

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
export const virtioDisk = (disk: DiskDefinition): QemuOptions => ({
  driver: 'virtio-blk-pci',
  ...(disk.slot !== undefined && { addr: slotAddress(disk.slot) }),
  id: diskDevice(disk),
  drive: diskNode(disk),
})

/**
 * The IDE place of each disk, `undefined` for virtio disks. IDE goes first, since every guest has a driver for it. CD-ROM drives
 * take the last IDE places.
 */
export function idePlaces({ disks, cdroms }: Pick<Hardware, 'disks' | 'cdroms'>): (number | undefined)[] {
  let next = 0
  return disks.map(({ slot }) => (slot === undefined && next < firstCdromPlace(cdroms) ? next++ : undefined))
}

export const firstCdromPlace = (cdroms: Hardware['cdroms']): number => 4 - cdroms.length
