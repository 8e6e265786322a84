import { readFileSync, statSync } from 'node:fs'
import { DiskError } from './disk-error.js'
import { Disk } from './disk.js'
import type { MachineSpec, MediumSpec } from './protocol.js'

/** The largest PC floppy, 2.88 MB. */
const maxFloppyBytes = 2_949_120

export interface OpenedMedia {
  readonly disks: readonly Disk[]
  readonly cdrom: Disk | undefined
  readonly floppies: readonly (ArrayBuffer | undefined)[]
}

/** Opens all of a machine's media, or none of them. */
export const openMedia = (spec: MachineSpec): OpenedMedia => {
  const opened: Disk[] = []
  const keep = (disk: Disk): Disk => {
    opened.push(disk)
    return disk
  }
  try {
    return {
      disks: (spec.disks ?? []).map((disk) => keep(Disk.open(disk))),
      cdrom: spec.cdrom && keep(Disk.openMedium(spec.cdrom)),
      floppies: (spec.floppies ?? []).map((floppy) => floppy && openFloppy(floppy)),
    }
  } catch (error) {
    for (const disk of opened) disk.close()
    throw error
  }
}

/** The image of a floppy is read whole. What the guest writes to it is lost with the machine. */
const openFloppy = ({ path }: MediumSpec): ArrayBuffer => {
  try {
    const { size } = statSync(path)
    if (size === 0 || size > maxFloppyBytes)
      throw new DiskError(path, `has ${String(size)} bytes, which is no floppy's size`)
    return Uint8Array.from(readFileSync(path)).buffer
  } catch (error) {
    if (error instanceof DiskError) throw error
    throw new DiskError(path, `cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}
