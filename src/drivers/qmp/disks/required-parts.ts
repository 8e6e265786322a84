import { statSync } from 'node:fs'
import { requireImages, type ImageRecord, type ImageUse } from '../../../files/image-record.js'
import { requireBytes, requireFiles, type FileUse } from '../../../registry/required-files.js'
import type { Definition, DiskDefinition } from '../definition.js'
import { fixedBytes } from './qcow2-header.js'

/** A VM or a snapshot, as far as it has files. */
type Parts = Pick<Definition, 'hardware' | 'memory'>

/** Throws unless a VM's own files and its images are there, before anything is changed; answers what to remember of the images. */
export function requireParts(
  folder: string,
  { hardware, memory }: Parts,
  uses: { readonly images: ImageUse; readonly files: FileUse },
): Promise<ImageRecord> {
  requireVmFiles(folder, { hardware, memory }, uses.files)
  return requireImages(hardware, uses.images, 'qmp')
}

export function requireVmFiles(folder: string, { hardware, memory }: Parts, use: FileUse): void {
  requireFilesOf(folder, hardware.disks, use, memory?.file, ({ file, bases = [] }) => [file, ...bases])
}

/** Whether there is anything in a disk's own file: of one that is lost, nothing has to be brought in order. */
export const isThere = (path: string): boolean => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= fixedBytes

/** As `requireVmFiles`, of disks that QEMU has open: only their bases, which are given further names. */
export const requireBases = (folder: string, { hardware }: Pick<Definition, 'hardware'>): void => {
  requireFilesOf(folder, hardware.disks, 'rest', undefined, ({ bases = [] }) => bases)
}

function requireFilesOf(
  folder: string,
  disks: readonly DiskDefinition[],
  use: FileUse,
  memory: string | undefined,
  filesOf: (disk: DiskDefinition) => readonly string[],
): void {
  requireFiles({
    driver: 'qmp',
    folder,
    use,
    disks: disks.map((disk) => ({ id: disk.id, files: filesOf(disk) })),
    memory,
    checkDisk: (path) => {
      requireBytes(path, fixedBytes)
    },
  })
}
