import { allDisks, type DiskDefinition, type Hardware } from '../definition.js'

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

export function diskChanges(before: Hardware, wanted: Hardware): DiskChanges {
  const idOf = ({ id }: DiskDefinition): string => id
  const present = allDisks(before)
  const next = allDisks(wanted)
  const former = new Map(present.map((disk) => [idOf(disk), disk]))
  const ids = new Set(next.map(idOf))
  return {
    added: next.filter(({ id }) => !former.has(id)),
    removed: present.filter(({ id }) => !ids.has(id)),
    grown: next.filter(({ id, sizeMiB }) => former.has(id) && former.get(id)?.sizeMiB !== sizeMiB),
  }
}
