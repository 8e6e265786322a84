import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readOwnBytes } from '../../../src/registry/own-file.js'

const mebibyte = 2 ** 20

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-own-'))
  path = join(folder, 'memory')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

test.each([0, 1, 4 * mebibyte, 21 * mebibyte + 13])('a file of %i bytes is read as it is', async (size) => {
  const content = randomBytes(size)
  writeFileSync(path, content)
  expect((await readOwnBytes(path, 32 * mebibyte)).equals(content)).toBe(true)
})

test('a file that is cut off while it is read ends there', async () => {
  const content = randomBytes(21 * mebibyte)
  writeFileSync(path, content)
  const left = 9 * mebibyte + 5
  const bytes = await readOwnBytes(path, content.byteLength, (size) => {
    truncateSync(path, left)
    return Buffer.alloc(size)
  })
  expect(bytes.equals(content.subarray(0, left))).toBe(true)
})

test('a file that is too large is not read', async () => {
  writeFileSync(path, Buffer.alloc(5))
  await expect(readOwnBytes(path, 4)).rejects.toThrow('it has 5 bytes, and may have 4')
})
