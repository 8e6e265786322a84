import type { DiskDefinition, Hardware } from '../definition.js'

/** A change of a VM's hardware, and what it takes to make it or to take it back. */
export interface HardwareEdit {
  readonly before: Hardware
  readonly wanted: Hardware
  readonly makeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Removes the files of disks that were made. */
  readonly removeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Writes the VM down with that hardware; files of disks that are leaving are kept, so that the edit can still be undone. */
  readonly save: (hardware: Hardware, leaving?: readonly DiskDefinition[]) => Promise<void>
  /** Writes the VM down as it was, but for disks that have grown. */
  readonly unsave: (grown: readonly DiskDefinition[]) => Promise<void>
}

export interface DiskChanges {
  readonly added: readonly DiskDefinition[]
  readonly removed: readonly DiskDefinition[]
  /** Disks that stay, with the size that they are to have. */
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
