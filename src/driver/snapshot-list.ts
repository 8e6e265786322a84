import { InvalidArgumentError } from '../errors.js'
import { snapshotNameIsTaken, snapshotNotFound } from '../errors/lookup.js'
import type { Snapshot } from '../model/snapshot.js'

/**
 * The snapshot with the id.
 *
 * @throws SnapshotNotFoundError
 */
export function requireSnapshot<S extends Pick<Snapshot, 'id'>>(snapshots: readonly S[], id: string): S {
  const snapshot = snapshots.find((candidate) => candidate.id === id)
  if (snapshot === undefined) throw snapshotNotFound(id)
  return snapshot
}

/** Error for a snapshot that has no memory to go on from. */
export const withoutMemory = ({ name }: Pick<Snapshot, 'name'>): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'options.snapshot',
    reason: `the snapshot ${JSON.stringify(name)} has no memory, since the VM was not on when it was made`,
    hint: 'Make a snapshot while the VM is running or paused.',
  })

/**
 * Checks the name of a new snapshot.
 *
 * @throws AlreadyExistsError if there is a snapshot of the name
 */
export function requireNewSnapshot(snapshots: readonly Pick<Snapshot, 'name'>[], name: string): void {
  if (snapshots.some((snapshot) => snapshot.name === name)) throw snapshotNameIsTaken(name)
}

/** A snapshot as a driver keeps it. */
export interface KeptSnapshot {
  /** Unique among the snapshots of the VM. */
  readonly id: string
  /** The snapshot that this one was made on top of. */
  readonly parentId?: string | undefined
}

/** The snapshots of a VM as a driver keeps them. */
export interface KeptSnapshots<S> {
  /** All snapshots of the VM, in any order. */
  readonly snapshots: readonly S[]
  /** The id of the snapshot that the present state of the VM was made on top of. */
  readonly currentSnapshot?: string | undefined
}

/**
 * The snapshots of a VM without one of them: those made on top of it become those of its parent, and so does the present state.
 *
 * @throws SnapshotNotFoundError
 */
export function withoutSnapshot<S extends KeptSnapshot>(
  { snapshots, currentSnapshot }: KeptSnapshots<S>,
  id: string,
): Required<KeptSnapshots<S>> {
  const { parentId } = requireSnapshot(snapshots, id)
  return {
    snapshots: snapshots
      .filter((snapshot) => snapshot.id !== id)
      .map((snapshot) => (snapshot.parentId === id ? { ...snapshot, parentId } : snapshot)),
    currentSnapshot: currentSnapshot === id ? parentId : currentSnapshot,
  }
}
