import { snapshotTree } from '../model/snapshot-tree.js'
import type { Snapshot, SnapshotNode } from '../model/snapshot.js'

/** The part of a snapshot that all hosts keep. */
interface KeptSnapshot extends Pick<Snapshot, 'id' | 'name' | 'description'> {
  readonly createdAt: string
  readonly parentId?: string | undefined
  readonly memory?: { readonly isPaused: boolean } | undefined
}

interface KeptSnapshots {
  readonly snapshots: readonly KeptSnapshot[]
  readonly currentSnapshot?: string | undefined
}

/** A snapshot as users see it. */
export function shownSnapshot({ currentSnapshot }: KeptSnapshots, kept: KeptSnapshot): Snapshot {
  const { id, name, description, createdAt, parentId, memory } = kept
  return {
    id,
    name,
    description,
    createdAt: new Date(createdAt),
    parentId,
    state: memory === undefined ? 'stopped' : memory.isPaused ? 'paused' : 'running',
    isCurrent: currentSnapshot === id,
  }
}

/** All snapshots of a VM as users see them. */
export const shownTree = (vm: KeptSnapshots): SnapshotNode[] =>
  snapshotTree(vm.snapshots.map((kept) => shownSnapshot(vm, kept)))

/** Whether each snapshot has a unique id and comes after its parent, so that none is its own ancestor. */
export function isTree(snapshots: readonly Pick<KeptSnapshot, 'id' | 'parentId'>[]): boolean {
  const seen = new Set<string>()
  return snapshots.every(({ id, parentId }) => {
    const isSound = !seen.has(id) && (parentId === undefined || seen.has(parentId))
    seen.add(id)
    return isSound
  })
}
