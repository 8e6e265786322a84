import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { InvalidArgumentError, JobCancelledError } from '../../../../src/errors.js'
import type { DownloadOptions } from '../../../../src/images/cache/download.js'
import { ImageCache } from '../../../../src/images/cache/image-cache.js'
import { packingOf, type Packing } from '../../../../src/images/packing.js'
import type { ProgressUpdate } from '../../../../src/model/host-job.js'
import { ImageServer } from '../../../support/image-server.js'
import { missingTools, skipWithout } from '../../../support/optional-tool.js'

const mebibyte = 2 ** 20
const disk = Buffer.concat([randomBytes(mebibyte), Buffer.alloc(14 * mebibyte), randomBytes(mebibyte)])

let folder: string
let cache: ImageCache
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-unpack-'))
  cache = new ImageCache(join(folder, 'cache'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  path: 'spec.disks[0].image',
  signal: new AbortController().signal,
  onProgress: () => undefined,
  ...more,
})

const packed = {
  gzip: (content: Buffer) => gzipSync(content),
  xz: (content: Buffer) => execFileSync('xz', ['-0', '--stdout'], { input: content, maxBuffer: 2 ** 26 }),
  zstd: (content: Buffer) => execFileSync('zstd', ['-q', '--stdout'], { input: content, maxBuffer: 2 ** 26 }),
}

async function compressed(content: Buffer): Promise<string> {
  const file = join(folder, 'disk.packed')
  await writeFile(file, content)
  return file
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error('it succeeded')
    },
    (error: unknown) => error,
  )

describe.each(Object.entries(packed))('%s', (name, pack) => {
  const packing = name as Packing
  beforeEach((context) => {
    if (packing !== 'gzip') skipWithout(context, missingTools(packing))
  })

  test('an image is unpacked once, with holes for what is zero', async () => {
    const file = await compressed(pack(disk))
    expect(await packingOf(file)).toBe(packing)
    const image = await cache.unpacked(file, packing, options())
    expect(image).toMatchObject({ source: file, sizeBytes: disk.length, isComplete: true })
    expect(disk.equals(await readFile(image.path))).toBe(true)
    const { blocks, ino } = await stat(image.path)
    expect(blocks * 512).toBeLessThan(disk.length / 2)
    await cache.unpacked(file, packing, options())
    expect((await stat(image.path)).ino).toBe(ino)
    expect(await cache.list()).toEqual([image])
  })

  test.each([
    ['incomplete', (content: Buffer) => content.subarray(0, content.length - 1000)],
    ['damaged', (content: Buffer) => Buffer.concat([content.subarray(0, 1000), randomBytes(content.length - 1000)])],
  ])('one that is %s is refused, and nothing of it stays', async (_what, damage) => {
    const file = await compressed(damage(pack(disk)))
    const error = await failureOf(cache.unpacked(file, packing, options()))
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({
      path: 'spec.disks[0].image',
      reason: expect.stringContaining(`compressed by ${name}`),
    })
    expect(await readdir(join(folder, 'cache'))).toEqual(['processes'])
  })
})

test('a compressed file that is written anew is another image', async () => {
  const file = await compressed(gzipSync(disk))
  const before = await cache.unpacked(file, 'gzip', options())
  await writeFile(file, gzipSync(randomBytes(mebibyte)))
  const after = await cache.unpacked(file, 'gzip', options())
  expect(after.id).not.toBe(before.id)
  expect(disk.equals(await readFile(before.path))).toBe(true)
  await cache.remove(before.id, () => Promise.resolve())
  expect(await cache.list()).toEqual([after])
})

test('unpacking tells how far it has come, and stops when it is cancelled', async () => {
  const file = await compressed(gzipSync(disk))
  const cancel = new AbortController()
  const reason = new JobCancelledError({ reason: 'it was cancelled' })
  const updates: ProgressUpdate[] = []
  const onProgress = (update: ProgressUpdate): void => {
    updates.push(update)
    cancel.abort(reason)
  }
  const error = await failureOf(cache.unpacked(file, 'gzip', options({ signal: cancel.signal, onProgress })))
  expect(error === reason || (error instanceof Error && error.cause === reason)).toBe(true)
  expect(updates[0]).toMatchObject({ phase: 'unpacking image', unit: 'bytes', total: (await stat(file)).size })
  expect(await readdir(join(folder, 'cache'))).toEqual(['processes'])
})

test('a missing program is named, with its package', async () => {
  const file = await compressed(Buffer.from('fd377a585a000000', 'hex'))
  vi.stubEnv('PATH', folder)
  const error = await failureOf(cache.unpacked(file, 'xz', options()))
  expect(error).toMatchObject({ code: 'HOST_TOOL_NOT_FOUND', hint: expect.stringContaining('xz-utils') })
})

test('an image that is fetched is unpacked, and the compressed file does not stay', async () => {
  const content = gzipSync(disk)
  await using server = await ImageServer.listen(content)
  const image = await cache.fetch({ url: server.url('/disk.raw.gz'), sha256: server.sha256 }, options())
  expect(image.id).toBe(`sha256-${createHash('sha256').update(content).digest('hex')}`)
  expect(disk.equals(await readFile(image.path))).toBe(true)
  const files = await readdir(join(folder, 'cache', image.id))
  expect(files.sort()).toEqual(['claim', 'image', 'image.json'])
})
