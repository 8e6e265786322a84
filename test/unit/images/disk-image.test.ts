import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { InvalidArgumentError } from '../../../src/errors.js'
import { readDiskImage, type DiskImage } from '../../../src/images/disk-image.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'
import { qcow2Image, type Qcow2Fields } from './qcow2-image.js'

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof fs>()
  return { ...real, open: vi.fn(real.open) }
})

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-images-'))
})
afterAll(() => rm(folder, { recursive: true }))

const mebibyte = 2 ** 20

async function read(content: Buffer): Promise<DiskImage | InvalidArgumentError> {
  const image = join(folder, 'image')
  await writeFile(image, content)
  return readFound(image)
}

/** Reads an image, and asserts that no other file was opened. */
async function readFound(image: string): Promise<DiskImage | InvalidArgumentError> {
  const open = vi.mocked(fs.open)
  open.mockClear()
  const found = await readDiskImage(image, 'spec.disks[0].image').catch((error: unknown) => error)
  expect(open.mock.calls.map(([path]) => path)).toEqual([image])
  if (found instanceof InvalidArgumentError) {
    expect(found).toMatchObject({ path: 'spec.disks[0].image', hint: expect.stringMatching(/\.$/) })
    expect(found.message).toContain(image)
    return found
  }
  expect(found).not.toBeInstanceOf(Error)
  return found as DiskImage
}

async function problem(content: Buffer): Promise<string> {
  const image = join(folder, 'image')
  await writeFile(image, content)
  return problemOf(image)
}

/** Why an image is refused. */
async function problemOf(image: string): Promise<string> {
  const found = await readFound(image)
  if (found instanceof InvalidArgumentError) return found.message
  throw new Error(`taken for ${JSON.stringify(found)}`)
}

describe('qcow2', () => {
  test.each<[string, Qcow2Fields]>([
    ['version 2', { version: 2 }],
    ['version 3', {}],
    ['clusters compressed by zstd', { incompatible: 8n, headerLength: 112, compression: 1 }],
    ['extended entries', { incompatible: 16n }],
    ['a header that was not closed', { incompatible: 1n }],
    ['a mark of damage, which QEMU reads all the same', { incompatible: 2n }],
    ['features that older programs may ignore', { compatible: 2n ** 64n - 1n, autoclear: 2n ** 64n - 1n }],
  ])('%s is taken', async (_what, fields) => {
    expect(await read(qcow2Image(fields))).toEqual({ format: 'qcow2', diskBytes: mebibyte })
  })

  const nowhere = 2n ** 63n
  test.each<[string, Qcow2Fields, string]>([
    ['a backing file', { backingOffset: 256n, backing: '/etc/shadow' }, 'needs the backing file "/etc/shadow"'],
    ['itself as a backing file', { backingOffset: 256n, backing: 'image' }, 'needs the backing file "image"'],
    ['a backing file without a name', { backingOffset: nowhere }, 'needs a backing file'],
    ['a data file', { incompatible: 4n }, 'has its data in another file'],
    ['encryption by AES', { encryption: 1 }, 'is encrypted'],
    ['encryption by LUKS', { encryption: 2 }, 'is encrypted'],
    ['version 1', { version: 1 }, 'of version 1'],
    ['version 4', { version: 4 }, 'has version 4'],
    ['an unknown feature', { incompatible: 2n ** 63n }, 'features that are not known'],
    ['an unknown compression', { incompatible: 8n, headerLength: 112, compression: 2 }, 'has the compression 2'],
    ['a compression that no feature names', { headerLength: 112, compression: 1 }, 'contradicts itself'],
    ['a feature without its compression', { incompatible: 8n, headerLength: 112 }, 'contradicts itself'],
    ['no disk', { diskBytes: 0n }, 'of 0 bytes'],
    ['half a sector', { diskBytes: 256n }, 'no multiple of 512'],
    ['snapshots that would begin nowhere', { snapshotOffset: nowhere }, 'table of its snapshots is not in the file'],
    ['a table for less than the disk', { diskBytes: 2n ** 40n }, 'too small for the disk'],
    ['a table of blocks that is huge', { l1Entries: 2 ** 32 - 1 }, 'larger than any'],
    ['a table of blocks behind the end', { l1Offset: 2n ** 30n }, 'table of its blocks is not in the file'],
    ['a table of blocks that begins nowhere', { l1Offset: nowhere }, 'table of its blocks is not in the file'],
    ['a table of blocks in the header', { l1Offset: 0n }, 'table of its blocks is not in the file'],
    ['a table that is not aligned', { l1Offset: 8n }, 'not aligned'],
    ['no refcounts', { refcountClusters: 0 }, 'without a table of refcounts'],
    ['huge refcounts', { refcountClusters: 2 ** 32 - 1 }, 'larger than any'],
    ['refcounts behind the end', { refcountOffset: nowhere }, 'table of its refcounts is not in the file'],
    ['refcounts of no size', { refcountOrder: 7 }, 'wrong size of refcounts'],
    ['a snapshot in no file', { snapshots: 1, snapshotOffset: 2n ** 40n }, 'table of its snapshots is not in the file'],
    ['more snapshots than any', { snapshots: 2 ** 32 - 1 }, 'larger than any'],
    ['clusters of no size', { clusterBits: 0 }, 'clusters of 2^0 bytes'],
    ['clusters of all sizes', { clusterBits: 2 ** 32 - 1 }, 'clusters of 2^'],
    ['a header without a length', { headerLength: 0 }, 'wrong length of its header'],
    ['a header beyond its cluster', { headerLength: 2 ** 31 }, 'wrong length of its header'],
  ])('%s is refused', async (_what, fields, reason) => {
    expect(await problem(qcow2Image(fields))).toContain(reason)
  })

  test.each<[string, bigint, string]>([
    ['2^53', 2n ** 53n, 'which no disk has'],
    ['2^63', 2n ** 63n, 'too small for the disk'],
  ])('a disk of %s bytes is refused, however large its tables are', async (_what, diskBytes, reason) => {
    const image = join(folder, 'large')
    const [refcountOffset, l1Offset] = [2n ** 21n, 2n ** 22n]
    await writeFile(image, qcow2Image({ diskBytes, clusterBits: 21, l1Entries: 2 ** 22, refcountOffset, l1Offset }))
    await truncate(image, 2 ** 28)
    expect(await problemOf(image)).toContain(reason)
  })

  test.each([0, 1, 4, 71, 72, 103])('an image that ends after %i bytes is no qcow2 base', async (bytes) => {
    const found = await read(qcow2Image({}).subarray(0, bytes))
    expect(found).toBeInstanceOf(InvalidArgumentError)
  })

  /** Values that are wrong, or at the limits, in one of the header's fields. */
  const wrong32 = [0, 1, 2, 8, 9, 21, 22, 64, 65_537, 2 ** 22 + 1, 2 ** 31, 2 ** 32 - 1]
  const wrong64 = [0n, 1n, 511n, 512n, 2n ** 16n, 2n ** 20n, 2n ** 32n, 2n ** 52n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
  const fields32 = [4, 16, 20, 32, 36, 56, 60, 96, 100, 104]
  const fields64 = [8, 24, 40, 48, 64, 72, 80, 88]
  const mutations = [2, 3].flatMap((version) => [
    ...fields32.flatMap((at) => wrong32.map((value) => ({ version, at, value }))),
    ...fields64.flatMap((at) => wrong64.map((value) => ({ version, at, value }))),
  ])

  test(`${String(mutations.length)} crafted headers are refused, or are what QEMU opens, with no other file`, async (context) => {
    skipWithout(context, missingTools('qemu-img'))
    const image = join(folder, 'image')
    let taken = 0
    for (const { version, at, value } of mutations) {
      const bytes = qcow2Image({ version })
      if (typeof value === 'bigint') bytes.writeBigUInt64BE(value, at)
      else bytes.writeUInt32BE(value, at)
      const found = await read(bytes)
      if (found instanceof InvalidArgumentError) continue
      taken += 1
      const info = JSON.parse(
        execFileSync('qemu-img', ['info', '-f', 'qcow2', '--output=json', image], { encoding: 'utf8' }),
      ) as Record<string, unknown>
      expect(info['virtual-size'], `${String(value)} at ${String(at)}`).toBe(found.diskBytes)
      expect(info).not.toHaveProperty('backing-filename')
      expect(info).not.toHaveProperty('format-specific.data.data-file')
    }
    expect(taken).toBeGreaterThan(0)
    expect(taken).toBeLessThan(mutations.length)
  })
})

describe('images of other programs', () => {
  beforeEach((context) => {
    skipWithout(context, missingTools('qemu-img'))
  })

  function make(name: string, format: string, ...options: readonly string[]): string {
    const image = join(folder, name)
    const args = ['create', '-q', '-f', format, ...options.flatMap((option) => ['-o', option]), image, '5M']
    execFileSync('qemu-img', args)
    return image
  }
  const sizeOf = (image: string, format: string): number => {
    const text = execFileSync('qemu-img', ['info', '-f', format, '--output=json', image], { encoding: 'utf8' })
    return (JSON.parse(text) as { 'virtual-size': number })['virtual-size']
  }

  test.each<[DiskImage['format'], string, string[]]>([
    ['qcow2', 'qcow2', ['compat=0.10']],
    ['qcow2', 'qcow2', ['extended_l2=on,cluster_size=16k']],
    ['qcow2', 'qcow2', ['preallocation=full']],
    ['vmdk', 'vmdk', []],
    ['vmdk', 'vmdk', ['subformat=streamOptimized']],
    ['vdi', 'vdi', []],
    ['vdi', 'vdi', ['static=on']],
    ['vhd', 'vpc', []],
    ['vhd', 'vpc', ['subformat=fixed']],
    ['vhd', 'vpc', ['force_size=on']],
    ['vhdx', 'vhdx', []],
    ['vhdx', 'vhdx', ['subformat=fixed']],
    ['qed', 'qed', []],
  ])(
    '%s, made by qemu-img as %s with %j, is recognized, with the size of its disk',
    async (format, driver, options) => {
      const image = make('made', driver, ...options)
      expect(await readFound(image)).toEqual({ format, diskBytes: sizeOf(image, driver) })
    },
  )

  test.each<[string, string, string[], string]>([
    ['the description of a split vmdk', 'vmdk', ['subformat=twoGbMaxExtentSparse'], 'only the description'],
    ['the description of a flat vmdk', 'vmdk', ['subformat=monolithicFlat'], 'only the description'],
  ])('%s is refused', async (_what, driver, options, reason) => {
    expect(await problemOf(make('split.vmdk', driver, ...options))).toContain(reason)
  })

  test('a part of a split vmdk is refused', async () => {
    make('parts.vmdk', 'vmdk', 'subformat=twoGbMaxExtentSparse')
    expect(await problemOf(join(folder, 'parts-s001.vmdk'))).toContain('only a part of a vmdk image')
  })

  test.each(['qcow2', 'vmdk', 'qed'])('a %s image upon another one is refused', async (format) => {
    const base = make('base', format)
    const image = join(folder, 'upon')
    execFileSync('qemu-img', ['create', '-q', '-f', format, '-b', base, '-F', format, image])
    expect(await problemOf(image)).toMatch(/needs (?:a|the) backing file|only the difference/)
  })

  test.each(['vmdk', 'vdi', 'vpc', 'vhdx', 'qed'])(
    'the begin of a %s image alone is refused or told by its size',
    async (driver) => {
      const whole = await fs.readFile(make('cut', driver))
      for (const bytes of [16, 70, 100, 400, 511, 512]) {
        const found = await read(whole.subarray(0, bytes))
        if (!(found instanceof InvalidArgumentError)) expect(found.diskBytes).toBe(sizeOf(join(folder, 'cut'), driver))
      }
    },
  )
})

describe('raw', () => {
  const sector = (begin: string | Buffer, at = 0): Buffer => {
    const bytes = Buffer.alloc(64 * 512)
    Buffer.from(begin as string, 'latin1').copy(bytes, at)
    return bytes
  }

  test('what is nothing else is a raw disk of the length of the file', async () => {
    for (const content of [Buffer.alloc(512), Buffer.alloc(mebibyte, 0x7e), sector(Buffer.from([0xeb, 0x63, 0x90]))]) {
      expect(await read(content)).toEqual({ format: 'raw', diskBytes: content.length })
    }
  })

  test('a raw disk has whole sectors', async () => {
    expect(await problem(Buffer.alloc(1000))).toContain('no multiple of 512')
  })

  test.each<[string, string, string]>([
    ['compressed by gzip', '\x1f\x8b\x08', 'gunzip'],
    ['compressed by xz', '\xfd7zXZ\0', 'unxz'],
    ['compressed by zstd', '\x28\xb5\x2f\xfd', 'unzstd'],
    ['compressed by bzip2', 'BZh91AY&SY', 'bunzip2'],
    ['a zip archive', 'PK\x03\x04', 'Take the image out'],
    ['an ELF program', '\x7fELF', 'Name an image of a disk'],
    ['a PNG picture', '\x89PNG\r\n\x1a\n', 'Name an image of a disk'],
    ['a program', 'MZ', 'Name an image of a disk'],
  ])('a file that is %s is refused', async (what, begin, hint) => {
    const found = await read(sector(begin))
    const message = expect.stringContaining(`is ${what}, not a disk`)
    expect(found).toMatchObject({ message, hint: expect.stringContaining(hint) })
  })

  test('a tar archive, a Linux kernel and a text are refused', async () => {
    expect(await problem(sector('ustar', 257))).toContain('is a tar archive')
    expect(await problem(sector('HdrS', 0x202))).toContain('is a Linux kernel')
    const page = Buffer.from(`<!doctype html>\n<title>404 – not found</title>\n${'ä'.repeat(5000)}`)
    expect(await problem(Buffer.concat([page, Buffer.alloc(512 - (page.length % 512), ' ')]))).toContain('is a text')
  })

  test('an ISO 9660 image is a CD-ROM, and a disk as well if it has a boot sector', async () => {
    const image = Buffer.concat([Buffer.alloc(64 * 512), sector('CD001', 1)])
    expect(await read(image)).toMatchObject({ hint: expect.stringContaining('cdroms') })
    image.writeUInt16BE(0x55aa, 510)
    expect(await read(image)).toEqual({ format: 'raw', diskBytes: image.length })
  })

  test('a pipe that takes the place of an image is not waited for', async () => {
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    await expect(readDiskImage(pipe, 'spec.disks[0].image')).rejects.toThrow()
  })
})
