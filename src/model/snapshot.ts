import type { VmState } from './vm-state.js'

/** A saved state of a VM: its disks, its settings and, if it ran, its memory. */
export interface Snapshot {
  /** Unique within its VM. */
  readonly id: string
  /** Unique within its VM, if all were made by awaitvm. */
  readonly name: string
  /** Any text; may be empty. */
  readonly description: string
  /** When it was made, by the host's clock. */
  readonly createdAt: Date
  /** The snapshot that this one was made on top of. */
  readonly parentId: string | undefined
  /** The state that the VM returns to: `'running'` or `'paused'` if memory was saved, else `'stopped'`. */
  readonly state: VmState
  /** Whether the VM's present state descends from this one directly. */
  readonly isCurrent: boolean
}

/** A snapshot with those made on top of it. */
export interface SnapshotNode extends Snapshot {
  /** The snapshots made on top of this one. */
  readonly children: readonly SnapshotNode[]
}
