import type { CdromConfig } from './vm-config.js'
import type { VmChanges } from './vm-spec.js'

/** What an edit changes at most: only what is not hardware, also media in drives, or any hardware. */
export function reachOf({
  name: _n,
  description: _d,
  labels: _l,
  guest: _g,
  ephemeral: _e,
  cdroms,
  floppies,
  ...rest
}: VmChanges): 'details' | 'media' | 'hardware' {
  if (Object.values(rest).some((value) => value !== undefined)) return 'hardware'
  return cdroms === undefined && floppies === undefined ? 'details' : 'media'
}

/** A drive for media. It is empty if it has no image. */
export interface MediaDrive {
  readonly image?: string | undefined
}

/** A CD-ROM drive, which may be empty. */
export interface CdromDrive extends MediaDrive, Pick<CdromConfig, 'bus'> {}

interface Drives {
  readonly cdroms: readonly MediaDrive[]
  readonly floppies: readonly MediaDrive[]
}

/** The drives whose medium was changed or removed: `cdrom0`, `floppy1`. */
export const changedDrives = (before: Drives, after: Drives): string[] => [
  ...changed('cdrom', before.cdroms, after.cdroms),
  ...changed('floppy', before.floppies, after.floppies),
]

function changed(name: string, before: readonly MediaDrive[], after: readonly MediaDrive[]): string[] {
  const most = Math.max(before.length, after.length)
  const indexes = Array.from({ length: most }, (_, index) => index)
  return indexes
    .filter((index) => before[index]?.image !== after[index]?.image)
    .map((index) => `${name}${String(index)}`)
}
