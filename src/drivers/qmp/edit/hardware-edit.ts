import { allDisks, ownFilesOf, type DiskDefinition, type Hardware } from '../definition.js'

/** A change of a VM's hardware, with the steps to make and undo it. */
export interface HardwareEdit {
  readonly before: Hardware
  readonly wanted: Hardware
  readonly makeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Writes the files of a new seed for cloud-init and of a new TPM. */
  readonly writeFiles: () => Promise<void>
  /** Removes new files. */
  readonly removeFiles: (files: readonly string[]) => Promise<void>
  /** Saves the definition with the hardware. Files that are `leaving` are kept, so that the edit can still be undone. */
  readonly save: (hardware: Hardware, leaving?: readonly string[]) => Promise<void>
  /** Saves the former definition, but with the new sizes of disks that have grown. */
  readonly unsave: (grown: readonly DiskDefinition[]) => Promise<void>
}

export interface DiskChanges {
  readonly added: readonly DiskDefinition[]
  readonly removed: readonly DiskDefinition[]
  /** Disks that stay and grow, with their new sizes. */
  readonly grown: readonly DiskDefinition[]
}

/** The files of hardware that the other one does not have. */
export function filesBeyond(other: Hardware, hardware: Hardware): string[] {
  const shared = new Set(ownFilesOf(other))
  return ownFilesOf(hardware).filter((file) => !shared.has(file))
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
