import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Disk } from '../../../src/drivers/embedded/machine/disk.js'
import type { DiskOverlaySpec } from '../../../src/drivers/embedded/machine/protocol.js'

let folder: string
let base: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-disk-'))
  base = join(folder, 'base.img')
})
afterEach(() => rmSync(folder, { recursive: true }))

const random = (size: number, seed: number): Uint8Array => {
  let value = seed
  return Uint8Array.from({ length: size }, () => (value = (value * 1103515245 + 12345) & 0x7fffffff) >> 16)
}

describe.each<[string, () => DiskOverlaySpec]>([
  ['memory', () => ({ kind: 'memory' })],
  ['file', () => ({ kind: 'file', path: join(folder, 'overlay') })],
])('with a %s overlay', (_kind, overlay) => {
  test('reads give what was written, at any place and size', () => {
    const sizeBytes = 64 * 1024
    const expected = random(sizeBytes, 1)
    writeFileSync(base, expected)
    const disk = Disk.open({ base, sizeBytes, overlay: overlay() })
    for (let round = 0; round < 100; round++) {
      const start = ((round * 7919) % 120) * 512
      const data = random(512 * (1 + (round % 24)), round).subarray(0, sizeBytes - start)
      disk.write(start, data)
      expected.set(data, start)
      const from = ((round * 104729) % 100) * 512
      expect(Buffer.from(disk.read(from, 9 * 512)).equals(expected.subarray(from, from + 9 * 512))).toBe(true)
    }
    expect(Buffer.from(disk.read(0, sizeBytes)).equals(expected)).toBe(true)
    expect(Buffer.from(readFileSync(base)).equals(random(sizeBytes, 1))).toBe(true)
    disk.close()
  })

  test('a disk larger than its image, and one without an image, are zeros there', () => {
    writeFileSync(base, Buffer.alloc(1000, 1))
    const disk = Disk.open({ base, sizeBytes: 8192, overlay: overlay() })
    disk.write(4096, Buffer.alloc(512, 2))
    const content = disk.read(0, 8192)
    expect([content[999], content[1000], content[4096], content[4608]]).toEqual([1, 0, 2, 0])
    disk.close()
    const blank = Disk.open({ sizeBytes: 8192, overlay: { kind: 'memory' } })
    expect(blank.read(0, 8192).every((byte) => byte === 0)).toBe(true)
  })

  test('access outside of the disk is refused', () => {
    const disk = Disk.open({ sizeBytes: 1024, overlay: overlay() })
    expect(() => disk.read(512, 1024)).toThrow(RangeError)
    expect(() => disk.write(-512, new Uint8Array(512))).toThrow(RangeError)
    disk.close()
  })
})

test('an odd size, a folder as image and a missing one are refused', () => {
  const overlay = { kind: 'memory' } as const
  expect(() => Disk.open({ sizeBytes: 1000, overlay })).toThrow('not a positive multiple of 512')
  expect(() => Disk.open({ base: folder, sizeBytes: 1024, overlay })).toThrow('is not a regular file')
  expect(() => Disk.open({ base, sizeBytes: 1024, overlay })).toThrow('cannot be read: ENOENT')
})

test('a closed image cannot be read', () => {
  writeFileSync(base, Buffer.alloc(1024))
  const disk = Disk.open({ base, sizeBytes: 1024, overlay: { kind: 'memory' } })
  disk.close()
  expect(() => disk.read(0, 512)).toThrow('is closed')
})

test('a medium is read-only and has whole sectors', () => {
  writeFileSync(base, Buffer.alloc(5000, 7))
  const disk = Disk.openMedium({ path: base })
  expect(disk.byteLength).toBe(4096)
  expect(disk.read(2048, 1)[0]).toBe(7)
  expect(disk.bytesRead).toBe(1)
  disk.close()
})

describe('memory overlay', () => {
  test('an export is refused by a disk that it does not fit', () => {
    const disk = Disk.open({ sizeBytes: 1 << 20, overlay: { kind: 'memory' } })
    disk.write(0, Buffer.alloc(512, 1))
    disk.write((1 << 20) - 512, Buffer.alloc(512, 2))
    const content = disk.exportOverlay()
    const open = (bytes: Uint8Array, sizeBytes = 1 << 20) =>
      Disk.open({ sizeBytes, overlay: { kind: 'memory', content: bytes } })
    expect(open(content).read((1 << 20) - 512, 1)[0]).toBe(2)
    expect(() => open(content, 1 << 19)).toThrow('is of a larger disk')
    expect(() => open(content.subarray(0, 100))).toThrow('is cut off')
    expect(() => open(new Uint8Array(100))).toThrow('is not one that was exported here')
  })
})

describe('file overlay', () => {
  const open = (sizeBytes = 1 << 20) =>
    Disk.open({ sizeBytes, overlay: { kind: 'file', path: join(folder, 'overlay') } })

  test('keeps what was written, is sparse, and cannot be exported', () => {
    const disk = open(1 << 28)
    disk.write(1 << 27, Buffer.alloc(512, 9))
    expect(() => disk.exportOverlay()).toThrow('has its changes in a file of its own')
    disk.close()
    disk.close()
    expect(() => disk.write(1 << 27, Buffer.alloc(512, 9))).toThrow('is closed')
    expect(() => disk.write(0, Buffer.alloc(4096))).toThrow('is closed')
    expect(statSync(join(folder, 'overlay')).blocks).toBeLessThan(100)
    const again = open(1 << 28)
    expect(again.read(1 << 27, 1)[0]).toBe(9)
    again.close()
  })

  test('content without its bit, as a kill leaves it, counts as not written', () => {
    const disk = open()
    disk.write(0, Buffer.alloc(4096, 1))
    disk.close()
    const bytes = readFileSync(join(folder, 'overlay'))
    bytes.fill(0xee, 4096, 8192)
    writeFileSync(join(folder, 'overlay'), bytes)
    const again = open()
    expect([again.read(0, 1)[0], again.read(4096, 1)[0]]).toEqual([1, 0])
    again.close()
  })

  test('a kill before the map was made leaves an empty overlay', () => {
    writeFileSync(join(folder, 'overlay'), 'left over')
    writeFileSync(join(folder, 'overlay.map.new'), 'half')
    const disk = open()
    expect(disk.read(0, 1)[0]).toBe(0)
    disk.close()
    expect(existsSync(join(folder, 'overlay.map.new'))).toBe(false)
  })

  test('a disk can grow, but not shrink', () => {
    const disk = open(8192)
    disk.write(4096, Buffer.alloc(4096, 5))
    disk.close()
    const larger = open(1 << 20)
    larger.write((1 << 20) - 512, Buffer.alloc(512, 6))
    larger.close()
    const again = open(1 << 20)
    expect([again.read(4096, 1)[0], again.read((1 << 20) - 512, 1)[0]]).toEqual([5, 6])
    again.close()
    expect(() => open(8192)).toThrow('is of a disk of 1048576 bytes, not 8192')
  })

  test('a map that was cut short is refused: the blocks that it lacks would seem to be unwritten', () => {
    open(1 << 20).close()
    truncateSync(join(folder, 'overlay.map'), 20)
    expect(() => open(1 << 20)).toThrow('was cut short')
  })

  test('files that are damaged or missing are refused', () => {
    writeFileSync(join(folder, 'overlay'), '')
    writeFileSync(join(folder, 'overlay.map'), 'something else entirely')
    expect(() => open()).toThrow('is not the map of a disk overlay')
    rmSync(join(folder, 'overlay'))
    expect(() => open()).toThrow('cannot be used: ENOENT')
    rmSync(join(folder, 'overlay.map'))
    mkdirSync(join(folder, 'overlay'))
    expect(() => open()).toThrow('cannot be used: it is a folder')
  })

  test('an overlay that is cut off in use is an error', () => {
    const disk = open()
    disk.write(8192, Buffer.alloc(4096, 5))
    truncateSync(join(folder, 'overlay'), 0)
    expect(() => disk.read(8192, 512)).toThrow('was cut off')
    disk.close()
  })
})

test('the interface of v86 to a disk', () => {
  writeFileSync(base, Buffer.alloc(1024, 4))
  const disk = Disk.open({ base, sizeBytes: 1024, overlay: { kind: 'memory' } })
  const calls: unknown[] = []
  disk.load()
  disk.onload = () => calls.push('loaded')
  disk.load()
  disk.set(512, Buffer.alloc(512, 8), () => calls.push('set'))
  disk.get(511, 2, (data) => calls.push([...data]))
  disk.get_and_cache(0, 1, (data) => calls.push([...data]))
  disk.get_buffer((buffer) => calls.push(buffer))
  disk.set_state()
  expect(calls).toEqual(['loaded', 'set', [4, 8], [4], undefined])
  expect(disk.get_from_cache(0, 1)).toEqual(Uint8Array.of(4))
  expect(disk.get_state()).toEqual([])
  expect([disk.bytesRead, disk.bytesWritten]).toEqual([4, 512])
  disk.close()
})
