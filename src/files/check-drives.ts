import { InvalidArgumentError } from '../errors.js'
import type { VmConfig } from '../model/vm-config.js'
import { checkFile } from './check-file.js'

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
    readonly checkDiskImage: (image: string, path: string) => Promise<void>
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
    if (image !== undefined) await checkDiskImage(image, `${path}.image`)
    else if (sizeMiB !== undefined && sizeMiB > limits.maxDiskMiB) {
      throw wrong(`${path}.sizeMiB`, `must be at most ${String(limits.maxDiskMiB)}, and is ${String(sizeMiB)}`)
    }
  }
  for (const kind of ['cdroms', 'floppies'] as const) {
    for (const [index, { image }] of drives[kind].entries()) {
      await checkFile(image, `${root}.${kind}[${String(index)}].image`, driver)
    }
  }
}

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
