import type { MediaConfig } from './vm-config.js'
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

/** The drives of a VM for media. */
export interface MediaDrives {
  readonly cdroms: readonly MediaConfig[]
  readonly floppies: readonly MediaConfig[]
}

/** The drives whose medium was changed or removed: `cdrom0`, `floppy1`. */
export const changedDrives = (before: MediaDrives, after: MediaDrives): string[] => [
  ...changed('cdrom', before.cdroms, after.cdroms),
  ...changed('floppy', before.floppies, after.floppies),
]

function changed(name: string, before: readonly MediaConfig[], after: readonly MediaConfig[]): string[] {
  const most = Math.max(before.length, after.length)
  const indexes = Array.from({ length: most }, (_, index) => index)
  return indexes
    .filter((index) => before[index]?.image !== after[index]?.image)
    .map((index) => `${name}${String(index)}`)
}
