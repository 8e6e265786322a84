import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConnectionError, InvalidArgumentError, JobCancelledError } from '../../../../src/errors.js'
import type { DownloadOptions } from '../../../../src/images/cache/download.js'
import { ImageCache } from '../../../../src/images/cache/image-cache.js'
import type { ProgressUpdate } from '../../../../src/model/host-job.js'
import { ImageServer, status } from '../../../support/image-server.js'

const mebibyte = 2 ** 20
const size = 3 * mebibyte

let folder: string
let cache: ImageCache
let server: ImageServer
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-cache-'))
  cache = new ImageCache(folder)
  server = await ImageServer.listen(randomBytes(size))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const options = (more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  path: 'spec.disks[0].image',
  signal: new AbortController().signal,
  onProgress: () => undefined,
  retryDelaysMs: [1, 1],
  ...more,
})

const wanted = (): { readonly url: string; readonly sha256: string } => ({ url: server.url(), sha256: server.sha256 })

/** Acts once the fetching process has this many bytes: what was sent may not be there yet. */
const when = (bytes: number, act: () => void): Partial<DownloadOptions> => {
  let isDone = false
  return {
    onProgress: ({ done = 0 }: ProgressUpdate) => {
      if (isDone || done < bytes) return
      isDone = true
      act()
    },
  }
}

/** Vitest itself takes seconds to compare two buffers. */
const has = async (path: string, content: Buffer): Promise<boolean> => content.equals(await readFile(path))

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => {
      throw new Error(`it succeeded with ${JSON.stringify(value)}`)
    },
    (error: unknown) => error,
  )

test('an image is fetched once, and is only read', async () => {
  const fetched = await cache.fetch(wanted(), options())
  expect(fetched).toEqual({
    id: `sha256-${server.sha256}`,
    path: join(folder, `sha256-${server.sha256}`, 'image'),
    source: server.url(),
    sizeBytes: size,
    isComplete: true,
  })
  expect(await has(fetched.path, server.content)).toBe(true)
  expect((await stat(fetched.path)).mode & 0o777).toBe(0o400)
  expect(await cache.fetch(wanted(), options())).toEqual(fetched)
  expect(await cache.list()).toEqual([fetched])
  expect(server.ranges).toEqual([undefined])
})

test('progress is told in bytes', async () => {
  const updates: ProgressUpdate[] = []
  await cache.fetch(wanted(), options({ onProgress: (update) => void updates.push(update) }))
  expect(updates.at(-1)).toEqual({ phase: 'fetching image', done: size, total: size, unit: 'bytes' })
  expect(updates.length).toBeLessThan(10)
})

test('the checksum may be in a list of the vendor', async () => {
  const sha512 = createHash('sha512').update(server.content).digest('hex')
  server.answers.push((_request, response) => {
    response.end(`${'0'.repeat(128)}  other.raw\n${sha512}  disk.raw\n`)
  })
  const { id } = await cache.fetch({ url: server.url(), sha512: server.url('/SHA512SUMS') }, options())
  expect(id).toBe(`sha512-${sha512}`)
})

test.each([
  ['without the file', 'nothing  else.raw\n'],
  ['with two of its checksums', `${'0'.repeat(64)}  disk.raw\n${'1'.repeat(64)}  disk.raw\n`],
])('a list %s is refused', async (_what, list) => {
  server.answers.push((_request, response) => response.end(list))
  const error = await failureOf(cache.fetch({ url: server.url(), sha256: server.url('/SHA256SUMS') }, options()))
  expect(error).toBeInstanceOf(InvalidArgumentError)
  expect(String(error)).toContain('has no sha256 of "disk.raw"')
})

describe('a connection that breaks', () => {
  test('is resumed where it was', async () => {
    server.answers.push(server.part(2 * mebibyte))
    const { path } = await cache.fetch(wanted(), options(when(mebibyte, server.breakOff)))
    expect(await has(path, server.content)).toBe(true)
    expect(server.ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d{7}-$/)])
  })

  test('is begun again if the server can not resume', async () => {
    server.answers.push(server.part(2 * mebibyte, {}))
    const { path } = await cache.fetch(wanted(), options(when(mebibyte, server.breakOff)))
    expect(await has(path, server.content)).toBe(true)
    expect(server.ranges).toEqual([undefined, undefined])
  })

  test('is begun again if the file has changed since', async () => {
    server.answers.push(server.part(2 * mebibyte))
    const changed = when(mebibyte, () => {
      server.breakOff()
      server.etag = '"two"'
    })
    server.content = Buffer.concat([randomBytes(size), server.content])
    const { path } = await cache.fetch(wanted(), options(changed))
    expect(await has(path, server.content)).toBe(true)
  })

  test('is begun again if the server has mixed two files up', async () => {
    const after = randomBytes(size)
    const sha256 = createHash('sha256').update(after).digest('hex')
    server.answers.push(server.part(2 * mebibyte))
    const changed = when(mebibyte, () => {
      server.breakOff()
      server.content = after
    })
    const { path } = await cache.fetch({ url: server.url(), sha256 }, options(changed))
    expect(await has(path, after)).toBe(true)
    expect(server.ranges).toEqual([undefined, expect.stringMatching(/^bytes=/), undefined])
  })

  test('again and again without more bytes ends with an error, and what is there stays', async () => {
    server.answers.push(server.part(2 * mebibyte), ...[1, 2, 3].map(() => status(503)))
    const error = await failureOf(cache.fetch(wanted(), options(when(mebibyte, server.breakOff))))
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ retryable: true, reason: expect.stringContaining('status 503') })
    expect(await cache.list()).toEqual([
      expect.objectContaining({ id: `sha256-${server.sha256}`, isComplete: false, source: server.url() }),
    ])

    const { path } = await new ImageCache(folder).fetch(wanted(), options())
    expect(await has(path, server.content)).toBe(true)
    expect(server.ranges.at(-1)).toMatch(/^bytes=\d{7}-$/)
  })

  test('counts as broken if the server goes silent', async () => {
    server.answers.push(server.part(2 * mebibyte))
    // A busy machine may be silent longer than that, too.
    const patient = options({ maxSilenceMs: 300, retryDelaysMs: Array.from({ length: 100 }, () => 1) })
    const { path } = await cache.fetch(wanted(), patient)
    expect(await has(path, server.content)).toBe(true)
    expect(server.ranges.length).toBeGreaterThan(1)
  })
})

test('a server that never answers ends with an error', async () => {
  server.answers.push(server.silence, server.silence)
  const error = await failureOf(cache.fetch(wanted(), options({ maxSilenceMs: 50, retryDelaysMs: [1] })))
  expect(error).toBeInstanceOf(ConnectionError)
  expect(String(error)).toContain(`the server of ${server.url()} has sent nothing for 0.05 s`)
  expect(await cache.list()).toEqual([])
})

/** Delays that nobody waits out: an attempt that follows would hang the test. */
const noMore = { retryDelaysMs: [2 ** 30] }

describe('a server that can not be reached is not asked again:', () => {
  test('one that is not there', async () => {
    const url = server.url()
    await server[Symbol.asyncDispose]()
    const error = await failureOf(cache.fetch({ url, sha256: server.sha256 }, options(noMore)))
    expect(error).toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: true,
      native: { code: 'ECONNREFUSED' },
      reason: `the server of ${url} can't be reached: nothing listens there (connect ECONNREFUSED ${new URL(url).host})`,
      hint: 'Check the URL, and that its server runs.',
    })
    server = await ImageServer.listen(randomBytes(1))
  })

  test('one at several addresses', async () => {
    const url = server.url().replace('127.0.0.1', 'localhost')
    await server[Symbol.asyncDispose]()
    const error = await failureOf(cache.fetch({ url, sha256: server.sha256 }, options(noMore)))
    expect(error).toMatchObject({ reason: expect.stringMatching(/nothing listens there \(.*ECONNREFUSED/) })
    server = await ImageServer.listen(randomBytes(1))
  })

  test('one whose name is not known', async () => {
    const url = 'http://nothing.invalid/disk.raw'
    const error = await failureOf(cache.fetch({ url, sha256: server.sha256 }, options(noMore)))
    expect(error).toMatchObject({
      code: 'CONNECTION_FAILED',
      reason: expect.stringContaining(`the server of ${url} can't be found by its name (getaddrinfo E`),
      hint: 'Check the URL, and the network of this computer.',
    })
  })

  test('one that speaks no TLS', async () => {
    const url = server.url().replace('http:', 'https:')
    const error = await failureOf(cache.fetch({ url, sha256: server.sha256 }, options(noMore)))
    expect(error).toMatchObject({ code: 'CONNECTION_FAILED', native: { message: expect.stringMatching(/SSL|TLS/) } })
  })
})

test('a server that has answered once is asked again, also while it is not there', async () => {
  const { content, sha256 } = server
  const url = server.url()
  server.answers.push(server.part(2 * mebibyte))
  let left = (): void => undefined
  const leaving = new Promise<void>((resolve) => {
    left = resolve
  })
  const retryDelaysMs = Array.from({ length: 1000 }, () => 20)
  const fetching = cache.fetch({ url, sha256 }, options({ ...when(mebibyte, left), retryDelaysMs }))
  await leaving
  await server[Symbol.asyncDispose]()
  server = await ImageServer.listen(content, Number(new URL(url).port))
  expect(await has((await fetching).path, content)).toBe(true)
  expect(server.ranges).toEqual([expect.stringMatching(/^bytes=/)])
})

describe('a fetch whose time is over tells what came of it:', () => {
  const late = new JobCancelledError({ reason: 'it took longer than 100 ms' })
  const failureAfter = async (cancel: AbortController, more: Partial<DownloadOptions>): Promise<unknown> =>
    await failureOf(cache.fetch(wanted(), options({ ...more, signal: cancel.signal })))

  test('no answer', async () => {
    const cancel = new AbortController()
    server.answers.push((...exchange) => {
      server.silence(...exchange)
      cancel.abort(late)
    })
    expect(await failureAfter(cancel, {})).toMatchObject({
      code: 'JOB_CANCELLED',
      reason: late.reason,
      hint: `Before that, the server of ${server.url()} had not answered when it was stopped.`,
      cause: { code: 'CONNECTION_FAILED' },
    })
  })

  test('a part of the file', async () => {
    const cancel = new AbortController()
    server.answers.push(server.part(2 * mebibyte))
    const stop = when(mebibyte, () => {
      cancel.abort(late)
    })
    expect(await failureAfter(cancel, stop)).toMatchObject({
      hint: `Before that, the server of ${server.url()} had not sent all of it when it was stopped.`,
    })
  })

  test('the last failure', async () => {
    const cancel = new AbortController()
    server.answers.push(status(503), (...exchange) => {
      server.silence(...exchange)
      cancel.abort(late)
    })
    expect(await failureAfter(cancel, {})).toMatchObject({
      hint: `Before that, the server of ${server.url()} answers with the status 503.`,
      cause: { code: 'CONNECTION_FAILED' },
    })
  })
})

test.each([
  ['another file', (content: Buffer) => randomBytes(content.length)],
  ['a file that is too short', (content: Buffer) => content.subarray(1)],
  ['an empty file', () => Buffer.alloc(0)],
])('%s is refused, and nothing of it stays', async (_what, lie) => {
  const { sha256 } = server
  server.content = lie(server.content)
  const error = await failureOf(cache.fetch({ url: server.url(), sha256 }, options()))
  expect(error).toBeInstanceOf(InvalidArgumentError)
  expect(error).toMatchObject({ path: 'spec.disks[0].image', reason: expect.stringContaining(sha256) })
  expect(await cache.list()).toEqual([])
  expect(await readdir(folder)).toEqual(['processes'])
})

test('an image that the disk has no room for is refused before it is fetched', async () => {
  server.answers.push((_request, response) => {
    response.writeHead(200, { 'content-length': String(2 ** 52) }).write('x')
  })
  const error = await failureOf(cache.fetch(wanted(), options()))
  expect(error).toMatchObject({ code: 'INSUFFICIENT_RESOURCES', reason: expect.stringContaining(String(2 ** 52)) })
})

describe('redirects', () => {
  test('are followed', async () => {
    server.answers.push(status(302, { location: '/elsewhere' }), status(307, { location: server.url('/there') }))
    expect((await cache.fetch(wanted(), options())).source).toBe(server.url())
  })

  test.each([
    ['without end', '/images/disk.raw', 'redirects more than 10 times'],
    ['to another protocol', 'file:///etc/passwd', 'redirects from http: to file:'],
    ['to no URL', 'http://[', 'which is no URL'],
  ])('%s are refused', async (_what, location, reason) => {
    for (let times = 0; times < 20; times += 1) server.answers.push(status(302, { location }))
    const error = await failureOf(cache.fetch(wanted(), options()))
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(String(error)).toContain(reason)
    expect(server.ranges.length).toBeLessThan(12)
  })
})

test('a file that is not there is not asked for again', async () => {
  server.answers.push(status(404))
  const error = await failureOf(cache.fetch(wanted(), options()))
  expect(error).toBeInstanceOf(InvalidArgumentError)
  expect(error).toMatchObject({ path: 'spec.disks[0].image', reason: expect.stringContaining('status 404') })
  expect(server.ranges).toHaveLength(1)
})

test('a name, a password and a query are sent, and not shown', async () => {
  const url = server.url('/disk.raw?token=hidden').replace('//', '//ci:secret@')
  const image = { url, sha256: server.sha256 }
  server.answers.push(status(403))
  expect(String(await failureOf(cache.fetch(image, options())))).not.toMatch(/secret|hidden/)
  const { source } = await cache.fetch(image, options())
  expect(source).toBe(server.url('/disk.raw?…'))
  const sent = `Basic ${Buffer.from('ci:secret').toString('base64')}`
  expect(server.authorizations).toEqual([sent, sent])
  const entry = join(folder, `sha256-${server.sha256}`)
  expect(await readFile(join(entry, 'image.json'), 'utf8')).not.toMatch(/secret|hidden/)
})

test('a fetch that is cancelled stops, and the next one goes on from there', async () => {
  const cancel = new AbortController()
  server.answers.push(server.part(2 * mebibyte))
  const reason = new JobCancelledError({ reason: 'it was cancelled' })
  const stop = when(mebibyte, () => {
    cancel.abort(reason)
  })
  const cancelled = await failureOf(cache.fetch(wanted(), options({ ...stop, signal: cancel.signal })))
  expect(cancelled).toMatchObject({ code: 'JOB_CANCELLED', reason: 'it was cancelled' })
  const { path } = await cache.fetch(wanted(), options())
  expect(await has(path, server.content)).toBe(true)
  expect(server.ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d{7}-$/)])
})

test('two at once fetch once', async () => {
  server.answers.push(server.part(mebibyte))
  let isWaiting = false
  const first = cache.fetch(wanted(), options())
  await server.asked(1)
  const second = new ImageCache(folder).fetch(
    wanted(),
    options({
      onProgress: ({ phase }) => {
        if (isWaiting || phase?.startsWith('waiting') !== true) return
        isWaiting = true
        server.goOn()
      },
    }),
  )
  expect(await second).toEqual(await first)
  expect(isWaiting).toBe(true)
  expect(server.ranges).toHaveLength(1)
})

test('an image that somebody has written to is fetched again', async () => {
  const { path } = await cache.fetch(wanted(), options())
  await chmod(path, 0o600)
  await writeFile(path, randomBytes(size))
  await cache.fetch(wanted(), options())
  expect(await has(path, server.content)).toBe(true)
})
