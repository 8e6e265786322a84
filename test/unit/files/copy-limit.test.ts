import { expect, test } from 'vitest'
import { CopyLimit } from '../../../src/files/copy-limit.js'

const mebibyte = 2 ** 20

test('a file that grows is copied as far as it went at the beginning', () => {
  const limit = new CopyLimit(100)
  limit.add(60)
  expect(limit.left).toBe(40)
  limit.add(40)
  expect([limit.left, limit.done, limit.total]).toEqual([0, 100, 100])
})

test('a guest that sends more than it has told is stopped', () => {
  const limit = new CopyLimit(100)
  expect(() => limit.add(101)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path: 'from' }))
})

test('a file that tells no size is copied up to 16 MiB', () => {
  const limit = new CopyLimit(0)
  limit.add(16 * mebibyte)
  expect(limit.left).toBe(1)
  expect(() => limit.add(1)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path: 'from' }))
})
