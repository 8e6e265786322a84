import type { VmState } from './vm-state.js'

/** A saved state of a VM: its disks, its settings and, where it ran, its memory. */
export interface Snapshot {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly createdAt: Date
  /** The snapshot that this one was made on top of. */
  readonly parentId: string | undefined
  /** The state that the VM returns to: `'running'` or `'paused'` where memory was saved, else `'stopped'`. */
  readonly state: VmState
  /** Whether the VM's present state descends from this one directly. */
  readonly isCurrent: boolean
}

/** A snapshot with those made on top of it. */
export interface SnapshotNode extends Snapshot {
  readonly children: readonly SnapshotNode[]
}
