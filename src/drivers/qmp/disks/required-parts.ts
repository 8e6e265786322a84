import { statSync } from 'node:fs'
import { join } from 'node:path'
import { requireImages, type ImageRecord, type ImageUse } from '../../../files/image-record.js'
import { fixedBytes } from '../../../images/qcow2-header.js'
import { problemWith } from '../../../registry/file-problem.js'
import { requireBytes, requireFiles, type FileUse } from '../../../registry/required-files.js'
import { allDisks, seedFiles, type Definition, type DiskDefinition } from '../definition.js'

/** The parts of a VM or a snapshot that have files. */
type Parts = Pick<Definition, 'hardware' | 'memory'>

/** Throws unless a VM's own files and its images are there. Call it before anything is changed. Returns the images' stamps to keep. */
export function requireParts(
  folder: string,
  { hardware, memory }: Parts,
  uses: { readonly images: ImageUse; readonly files: FileUse },
): Promise<ImageRecord> {
  requireVmFiles(folder, { hardware, memory }, uses.files)
  return requireImages(hardware, uses.images, 'qmp')
}

export function requireVmFiles(folder: string, { hardware, memory }: Parts, use: FileUse): void {
  requireFilesOf(folder, hardware, use, memory?.file, ({ file, bases = [] }) => [file, ...bases])
  if (hardware.seed !== undefined) {
    const { image, settings } = seedFiles(hardware.seed)
    const takeAway = 'take the seed away with vm.edit({ cloudInit: false }) while the VM is stopped'
    for (const file of [image, settings]) requireFile(folder, file, use, takeAway)
  }
  if (hardware.tpm !== undefined) {
    const takeAway = 'take the TPM away with vm.edit({ tpm: false }) while the VM is stopped'
    requireFile(folder, hardware.tpm.state, use, takeAway)
  }
}

function requireFile(folder: string, file: string, use: FileUse, takeAway: string): void {
  const path = join(folder, file)
  try {
    requireBytes(path)
  } catch (error) {
    const wayOut = use === 'snapshot' ? 'delete the snapshot with vm.deleteSnapshot()' : takeAway
    throw problemWith(path, error, { driver: 'qmp', hint: `Put the file back, or ${wayOut}.` })
  }
}

/** True if a disk's own file is there and not empty. */
export const isThere = (path: string): boolean => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= fixedBytes

/** As `requireVmFiles`, for disks that QEMU has open: checks only their bases, which are about to be linked. */
export const requireBases = (folder: string, { hardware }: Pick<Definition, 'hardware'>): void => {
  requireFilesOf(folder, hardware, 'rest', undefined, ({ bases = [] }) => bases)
}

const dropVariables = "drop the variables of its firmware with vm.edit({ boot: { firmware: 'bios' } })"

function requireFilesOf(
  folder: string,
  hardware: Definition['hardware'],
  use: FileUse,
  memory: string | undefined,
  filesOf: (disk: DiskDefinition) => readonly string[],
): void {
  requireFiles({
    driver: 'qmp',
    folder,
    use,
    disks: allDisks(hardware).map((disk) => ({
      id: disk.id,
      files: filesOf(disk),
      ...(disk === hardware.flash?.variables && { giveUp: dropVariables }),
    })),
    memory,
    checkDisk: (path) => {
      requireBytes(path, fixedBytes)
    },
  })
}
