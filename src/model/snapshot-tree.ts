import type { Snapshot, SnapshotNode } from './snapshot.js'

/**
 * Makes a tree of the snapshots of a VM: those without a parent, each with the ones that were made on top of it. Siblings keep
 * the order of the list. A snapshot whose parent is not in the list is left out. There may be tens of thousands, in one line.
 */
export function snapshotTree(snapshots: readonly Snapshot[]): SnapshotNode[] {
  const roots: SnapshotNode[] = []
  const childrenOf = new Map(snapshots.map(({ id }): [string, SnapshotNode[]] => [id, []]))
  for (const snapshot of snapshots) {
    const { id, parentId } = snapshot
    const siblings = parentId === undefined ? roots : childrenOf.get(parentId)
    siblings?.push({ ...snapshot, children: childrenOf.get(id) ?? [] })
  }
  return roots
}
