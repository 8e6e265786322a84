import { InvalidArgumentError } from '../errors.js'
import type { ImageSettings } from './named-images.js'

const mebibyte = 2 ** 20
const kinds = ['disks', 'cdroms', 'floppies'] as const

/** The number of drives of each kind that a machine has, and the size limit of a blank disk. */
export type DriveLimits = Readonly<Record<(typeof kinds)[number] | 'maxDiskMiB', number>>

/**
 * Throws if a machine can't have the drives.
 *
 * @param root the parameter with the drives, for the error
 */
export function checkDrives(
  drives: Pick<ImageSettings, (typeof kinds)[number]>,
  root: string,
  limits: DriveLimits,
): void {
  for (const kind of kinds) {
    const { length } = drives[kind]
    if (length > limits[kind])
      throw wrong(`${root}.${kind}`, `must have at most ${String(limits[kind])} entries, and has ${String(length)}`)
  }
  for (const [index, { sizeMiB }] of drives.disks.entries()) {
    if (sizeMiB === undefined || sizeMiB <= limits.maxDiskMiB) continue
    const path = `${root}.disks[${String(index)}].sizeMiB`
    throw wrong(path, `must be at most ${String(limits.maxDiskMiB)}, and is ${String(sizeMiB)}`)
  }
}

/** Throws if a disk is smaller than its image. */
export function requireRoom(sizeMiB: number | undefined, imageBytes: number, path: string): void {
  const least = Math.ceil(imageBytes / mebibyte)
  if (sizeMiB === undefined || sizeMiB >= least) return
  throw wrong(path, `must be at least ${String(least)}, the size of the image, and is ${String(sizeMiB)}`)
}

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
