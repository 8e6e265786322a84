import type { DiskDefinition, Hardware } from '../definition.js'
import { backingOf, type QemuOptions } from './disk-chain.js'

type DriveKind = 'cdrom' | 'floppy'

/** The QMP name of a disk: its file's, as far as QEMU takes it. */
export const diskNode = ({ file }: Pick<DiskDefinition, 'file'>): string =>
  file.slice(0, 'disk-01234567-89ab-4cde'.length)
export const diskDevice = (disk: Pick<DiskDefinition, 'file'>): string => `drive-${diskNode(disk)}`
export const driveDevice = (kind: DriveKind, index: number): string => `drive-${kind}${String(index)}`

export const slotAddress = (slot: number): string => `0x${slot.toString(16)}`

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

/**
 * The IDE place of each disk: IDE drives first, since every guest knows them. CD-ROMs have the last places, disks the others,
 * and those that have none are virtio's.
 */
export function idePlaces({ disks, cdroms }: Pick<Hardware, 'disks' | 'cdroms'>): (number | undefined)[] {
  let next = 0
  return disks.map(({ slot }) => (slot === undefined && next < firstCdromPlace(cdroms) ? next++ : undefined))
}

export const firstCdromPlace = (cdroms: Hardware['cdroms']): number => 4 - cdroms.length
