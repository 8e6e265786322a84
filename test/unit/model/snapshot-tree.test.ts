import { expect, test } from 'vitest'
import { snapshotTree } from '../../../src/model/snapshot-tree.js'
import type { Snapshot, SnapshotNode } from '../../../src/model/snapshot.js'

const snapshot = (id: string, parentId?: string): Snapshot => ({
  id,
  name: id,
  description: '',
  createdAt: new Date(0),
  parentId,
  state: 'stopped',
  isCurrent: false,
})

/** The names of the snapshots, each with those of its children. */
interface Names {
  readonly [name: string]: Names
}
const namesOf = (nodes: readonly SnapshotNode[]): Names =>
  Object.fromEntries(nodes.map(({ name, children }) => [name, namesOf(children)]))

test('each snapshot stands on top of its parent, in any order of the list', () => {
  const list = [snapshot('leaf', 'left'), snapshot('root'), snapshot('left', 'root'), snapshot('right', 'root')]
  const tree = snapshotTree(list)
  expect(namesOf(tree)).toEqual({ root: { left: { leaf: {} }, right: {} } })
  expect(tree[0]).toEqual({ ...snapshot('root'), children: expect.anything() as unknown })
})

test('a snapshot whose parent is missing, or is on top of itself, is left out', () => {
  const list = [snapshot('a'), snapshot('b', 'gone'), snapshot('c', 'd'), snapshot('d', 'c')]
  expect(namesOf(snapshotTree(list))).toEqual({ a: {} })
})

test('tens of thousands of snapshots in one line are a tree', () => {
  const count = 50_000
  const list = Array.from({ length: count }, (_, n) => snapshot(String(n), n === 0 ? undefined : String(n - 1)))
  let depth = 0
  for (let nodes: readonly SnapshotNode[] = snapshotTree(list); nodes[0] !== undefined; nodes = nodes[0].children) {
    depth += 1
  }
  expect(depth).toBe(count)
})
