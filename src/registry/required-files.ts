import { statSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { problemWith } from './file-problem.js'
import { NotOwnError } from './own-file.js'

/** What an operation needs files for: a VM at rest, a running VM, or a snapshot. */
export type FileUse = 'rest' | 'run' | 'snapshot'

interface NeededDisk {
  readonly id: string
  /** By their names in the folder: its own file first, then its backing files. */
  readonly files: readonly string[]
  /** How to give it up, if not as disks are: `give the VM another firmware`. */
  readonly giveUp?: string | undefined
}

interface Needed {
  readonly driver: string
  readonly folder: string
  readonly use: FileUse
  readonly disks: readonly NeededDisk[]
  /** The file of the saved memory of a suspended VM. */
  readonly memory: string | undefined
  /** Throws if the file of a disk is visibly damaged. Does not read its content. */
  readonly checkDisk: (path: string) => void
}

/**
 * Throws unless the VM has all files that an operation needs. The files are not opened: a check takes some µs.
 * @throws ProtocolError that names the file, and what can be done
 */
export function requireFiles({ driver, folder, use, disks, memory, checkDisk }: Needed): void {
  const look = (file: string, check: (path: string) => unknown, wayOut: string): void => {
    const path = join(folder, file)
    try {
      check(path)
    } catch (error) {
      throw problemWith(path, error, { driver, hint: `Put the file back${wayOut}.` })
    }
  }
  for (const {
    id,
    files,
    giveUp = `delete the disk with vm.edit({ deleteDisks: [${JSON.stringify(id)}] })`,
  } of disks) {
    for (const [index, file] of files.entries()) {
      const isOpenInGuest = use === 'run' && index === 0
      look(file, checkDisk, isOpenInGuest ? copyIt : use === 'snapshot' ? dropSnapshot : dropDisk(giveUp, memory))
    }
  }
  if (memory !== undefined) look(memory, requireBytes, use === 'snapshot' ? dropSnapshot : `, or ${dropMemory}`)
}

/** Throws unless the path is a regular file of at least `minBytes`. */
export function requireBytes(path: string, minBytes = 1): Stats {
  const stats = statSync(path)
  if (!stats.isFile()) throw new NotOwnError(path, 'it is no regular file')
  if (stats.size < minBytes) {
    throw new NotOwnError(path, `it has ${String(stats.size)} bytes, and should have at least ${String(minBytes)}`)
  }
  return stats
}

const copyIt = ', or copy what the disk holds with vm.clone() while the VM runs'
const dropSnapshot = ', or delete the snapshot with vm.deleteSnapshot()'
const dropMemory = "drop the saved memory with vm.stop({ mode: 'kill' })"

const dropDisk = (giveUp: string, memory: string | undefined): string =>
  memory === undefined ? `, ${giveUp}, or delete the VM with vm.delete()` : `, or ${dropMemory} and then ${giveUp}`
