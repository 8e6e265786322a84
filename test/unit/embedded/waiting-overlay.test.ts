import { expect, test } from 'vitest'
import { DiskError } from '../../../src/drivers/embedded/machine/disk-error.js'
import { blockSize, MemoryOverlay } from '../../../src/drivers/embedded/machine/memory-overlay.js'
import { WaitingOverlay } from '../../../src/drivers/embedded/machine/waiting-overlay.js'

/** A file with room for a number of writes. */
class SmallFile extends MemoryOverlay {
  readonly written: number[] = []
  room = 0
  code = 'ENOSPC'

  override write(block: number, content: Uint8Array): void {
    if (this.room === 0) throw Object.assign(new Error(`${this.code}: refused`), { code: this.code })
    this.room -= 1
    this.written.push(block)
    super.write(block, content)
  }
}

const filled = (byte: number): Uint8Array => new Uint8Array(blockSize).fill(byte)
const byteOf = (overlay: WaitingOverlay, block: number): number | undefined => {
  const target = new Uint8Array(1)
  overlay.read(block, 7, target)
  return target[0]
}

test('blocks without room are read as they were written, and reach the file in order', () => {
  const file = new SmallFile()
  const overlay = new WaitingOverlay('/srv/disk', file)
  file.room = 1
  overlay.write(5, filled(1))
  expect(overlay.noRoom).toBeUndefined()
  const content = filled(2)
  overlay.write(9, content)
  content.fill(0)
  expect(overlay.noRoom).toBeInstanceOf(DiskError)
  expect(overlay.noRoom?.message).toContain('/srv/disk')

  // Blocks that wait are written before a later write, even if there is room again.
  file.room = 1
  overlay.write(5, filled(3))
  overlay.write(2, filled(4))
  expect(file.written).toEqual([5])
  expect([9, 5, 2].map((block) => byteOf(overlay, block))).toEqual([2, 3, 4])
  expect([9, 5, 2, 1].map((block) => overlay.has(block))).toEqual([true, true, true, false])

  expect(() => overlay.flush()).toThrow(DiskError)
  expect(file.written).toEqual([5, 9])
  expect(overlay.noRoom).toBeDefined()
  file.room = 2
  overlay.flush()
  expect(overlay.noRoom).toBeUndefined()
  expect(file.written).toEqual([5, 9, 5, 2])
  expect([9, 5, 2].map((block) => byteOf(overlay, block))).toEqual([2, 3, 4])
})

test('any other failure of the file is reported at once', () => {
  const file = new SmallFile()
  file.code = 'EIO'
  const overlay = new WaitingOverlay('/srv/disk', file)
  expect(() => overlay.write(0, filled(1))).toThrow('EIO')
  expect(overlay.noRoom).toBeUndefined()
  expect(overlay.has(0)).toBe(false)
})
