import type { DiskDefinition, Hardware } from '../definition.js'

/** A change of a VM's hardware, with the steps to make and undo it. */
export interface HardwareEdit {
  readonly before: Hardware
  readonly wanted: Hardware
  readonly makeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Removes the files of new disks. */
  readonly removeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Saves the definition with the hardware. Files of `leaving` disks are kept, so that the edit can still be undone. */
  readonly save: (hardware: Hardware, leaving?: readonly DiskDefinition[]) => Promise<void>
  /** Saves the former definition, but with the new sizes of disks that have grown. */
  readonly unsave: (grown: readonly DiskDefinition[]) => Promise<void>
}

export interface DiskChanges {
  readonly added: readonly DiskDefinition[]
  readonly removed: readonly DiskDefinition[]
  /** Disks that stay and grow, with their new sizes. */
  readonly grown: readonly DiskDefinition[]
}

export function diskChanges(before: Pick<Hardware, 'disks'>, wanted: Pick<Hardware, 'disks'>): DiskChanges {
  const idOf = ({ id }: DiskDefinition): string => id
  const former = new Map(before.disks.map((disk) => [idOf(disk), disk]))
  const ids = new Set(wanted.disks.map(idOf))
  return {
    added: wanted.disks.filter(({ id }) => !former.has(id)),
    removed: before.disks.filter(({ id }) => !ids.has(id)),
    grown: wanted.disks.filter(({ id, sizeMiB }) => former.has(id) && former.get(id)?.sizeMiB !== sizeMiB),
  }
}
