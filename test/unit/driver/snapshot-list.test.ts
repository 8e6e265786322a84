import { requireNewSnapshot, requireSnapshot, withoutSnapshot } from 'awaitvm/driver'
import { expect, test } from 'vitest'

const snapshots = [
  { id: 'a', name: 'first' },
  { id: 'b', name: 'second', parentId: 'a' },
  { id: 'c', name: 'third', parentId: 'b' },
]

test('a snapshot is found by its id, and ends with SNAPSHOT_NOT_FOUND if it is not there', () => {
  expect(requireSnapshot(snapshots, 'b')).toBe(snapshots[1])
  expect(() => requireSnapshot(snapshots, 'd')).toThrow(expect.objectContaining({ code: 'SNAPSHOT_NOT_FOUND' }))
})

test('a name that is taken ends with ALREADY_EXISTS', () => {
  requireNewSnapshot(snapshots, 'fourth')
  expect(() => requireNewSnapshot(snapshots, 'third')).toThrow(expect.objectContaining({ code: 'ALREADY_EXISTS' }))
})

test("what was made on top of a deleted snapshot becomes its parent's", () => {
  expect(withoutSnapshot({ snapshots, currentSnapshot: 'b' }, 'b')).toEqual({
    snapshots: [snapshots[0], { ...snapshots[2], parentId: 'a' }],
    currentSnapshot: 'a',
  })
  expect(withoutSnapshot({ snapshots, currentSnapshot: 'c' }, 'a')).toEqual({
    snapshots: [{ ...snapshots[1], parentId: undefined }, snapshots[2]],
    currentSnapshot: 'c',
  })
})
