import type { VmState } from '../../model/vm-state.js'
import type { DamagedVm } from '../../registry/damaged-vm.js'
import type { Definition, Hardware } from './definition.js'
import type { Holder } from '../../registry/claim.js'
import type { FileUse } from '../../registry/required-files.js'
import type { DiskOverlaySpec } from './machine/protocol.js'

/** The right to run a VM and to change it, held by one connection of one process at a time. */
export interface Lease {
  /** Tells other processes the state that the VM is in. */
  setState(state: VmState): void
  release(): void
}

/** Keeps the definitions and files of VMs. A file that no definition names does not count as kept. */
export interface EmbeddedStore {
  /** The owner of VMs that end with this connection. */
  readonly owner: string
  /** The folder of the VMs; `undefined` if they are in memory. */
  readonly vms: string | undefined
  list(): Promise<readonly (Definition | DamagedVm)[]>
  /** The VM with the id, even if it is damaged. */
  find(id: string): Promise<Definition | DamagedVm | undefined>
  /** The definition of a VM; throws the problem of a damaged one. */
  get(id: string): Promise<Definition | undefined>
  findByName(name: string): Promise<Definition | DamagedVm | undefined>
  /** Adds a new VM, whole or not at all; `fill` writes its files. Refuses a name that is taken. */
  create(definition: Definition, fill: () => Promise<void>): Promise<void>
  /** Replaces the definition in one step, and then removes the files that it no longer names. Refuses a name that is taken. */
  save(definition: Definition): Promise<void>
  delete(id: string): Promise<void>
  /** Deletes a damaged VM if its folder has no other files, and nobody has a claim on it. */
  deleteDamaged(id: string): Promise<void>
  /**
   * The claim on a VM, and the definition as it is from then on.
   * @throws ResourceBusyError while another process or connection has a claim on it
   */
  lease(id: string): Promise<{ readonly lease: Lease; readonly definition: Definition | undefined }>
  /** The other process or connection that has a claim on the VM at present. */
  holder(id: string): Promise<Holder | undefined>
  /** The definition of a VM as it is now, if another process has replaced it since it was read; else `undefined`. */
  replaced(definition: Definition): Promise<Definition | undefined>

  /** Calls the listener with the id of each VM whose folder is removed, also by another program. */
  onRemoved(listener: (id: string) => void): void
  /** Deletes the ephemeral VMs of this connection, none of which runs, and releases everything. */
  close(): Promise<void>

  /**
   * Throws if a file of a VM, or of a snapshot of it, is missing.
   * @throws ProtocolError that names the file, and what can be done
   */
  requireFiles(id: string, parts: Pick<Definition, 'hardware' | 'memory'>, use: FileUse): void

  /** Makes the overlay of a new disk. If the file is missing later, it was lost. */
  makeOverlay(id: string, file: string): Promise<void>
  overlay(id: string, file: string): Promise<DiskOverlaySpec>
  /** Keeps the content of an overlay that was in the machine's memory. */
  putOverlay(id: string, file: string, content: Uint8Array): Promise<void>
  copyOverlay(
    from: { readonly id: string; readonly file: string },
    to: { readonly id: string; readonly file: string },
  ): Promise<void>
  putMemory(id: string, file: string, content: Uint8Array): Promise<void>
  getMemory(id: string, file: string): Promise<Uint8Array>
}

/** Makes the disks that are in `wanted`, and were not there `before`. */
export async function makeDisks(
  store: EmbeddedStore,
  id: string,
  wanted: Pick<Hardware, 'disks'>,
  before: Pick<Hardware, 'disks'>,
): Promise<void> {
  const present = new Set(before.disks.map(({ overlay }) => overlay))
  for (const { overlay } of wanted.disks) if (!present.has(overlay)) await store.makeOverlay(id, overlay)
}

/** Copies the disks of a VM that stands still, under the names that `nameOf` gives them. */
export async function copyDisks(
  store: EmbeddedStore,
  fromId: string,
  { disks }: Hardware,
  toId: string,
  nameOf: (overlay: string) => string,
): Promise<void> {
  for (const { overlay } of disks) {
    await store.copyOverlay({ id: fromId, file: overlay }, { id: toId, file: nameOf(overlay) })
  }
}
