import { InvalidArgumentError } from '../errors.js'
import type { VmConfig } from '../model/vm-config.js'
import { checkFile } from './check-file.js'

const mebibyte = 2 ** 20
const kinds = ['disks', 'cdroms', 'floppies'] as const

/** How many drives of each kind a machine has, and how large a blank disk may be. */
export type DriveLimits = Readonly<Record<(typeof kinds)[number] | 'maxDiskMiB', number>>

/**
 * Throws where a machine can't have the drives, or an image of them can't be used.
 *
 * @param root the parameter that they are in, for the error
 * @param host its limits, the name that errors give for it, and what it asks of the image of a disk
 */
export async function checkDrives(
  drives: Pick<VmConfig, (typeof kinds)[number]>,
  root: string,
  host: {
    readonly limits: DriveLimits
    readonly driver: string
    /** Answers the size of the image in bytes. */
    readonly checkDiskImage: (image: string, path: string) => Promise<number>
  },
): Promise<void> {
  const { limits, driver, checkDiskImage } = host
  for (const kind of kinds) {
    const { length } = drives[kind]
    if (length > limits[kind])
      throw wrong(`${root}.${kind}`, `must have at most ${String(limits[kind])} entries, and has ${String(length)}`)
  }
  for (const [index, { image, sizeMiB }] of drives.disks.entries()) {
    const path = `${root}.disks[${String(index)}]`
    if (sizeMiB !== undefined && sizeMiB > limits.maxDiskMiB) {
      throw wrong(`${path}.sizeMiB`, `must be at most ${String(limits.maxDiskMiB)}, and is ${String(sizeMiB)}`)
    }
    if (image === undefined) continue
    requireRoom(sizeMiB, await checkDiskImage(image, `${path}.image`), `${path}.sizeMiB`)
  }
  for (const kind of ['cdroms', 'floppies'] as const) {
    for (const [index, { image }] of drives[kind].entries()) {
      await checkFile(image, `${root}.${kind}[${String(index)}].image`, driver)
    }
  }
}

/** Throws where a disk is smaller than the image that it starts from. */
export function requireRoom(sizeMiB: number | undefined, imageBytes: number, path: string): void {
  const least = Math.ceil(imageBytes / mebibyte)
  if (sizeMiB === undefined || sizeMiB >= least) return
  throw wrong(path, `must be at least ${String(least)}, the size of the image, and is ${String(sizeMiB)}`)
}

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
