import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InvalidArgumentError, ResourceBusyError } from '../../../../src/errors.js'
import type { DownloadOptions } from '../../../../src/images/cache/download.js'
import { ImageCache } from '../../../../src/images/cache/image-cache.js'
import { ImageServer } from '../../../support/image-server.js'

const mebibyte = 2 ** 20

let folder: string
let cache: ImageCache
let server: ImageServer
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-cache-'))
  cache = new ImageCache(folder)
  server = await ImageServer.listen(randomBytes(3 * mebibyte))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const options = (): DownloadOptions => ({
  path: 'spec.disks[0].image',
  signal: new AbortController().signal,
  onProgress: () => undefined,
})
const wanted = (): { readonly url: string; readonly sha256: string } => ({ url: server.url(), sha256: server.sha256 })
const unused = (): Promise<void> => Promise.resolve()
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it succeeded'),
    (error: unknown) => error,
  )

describe('removing', () => {
  test('an image that is fetched again is the same to VMs', async () => {
    const { id, path } = await cache.fetch(wanted(), options())
    const before = await stat(path, { bigint: true })
    await cache.remove(id, unused)
    expect(await cache.list()).toEqual([])
    expect(await readdir(folder)).toEqual(['processes'])
    expect((await cache.fetch(wanted(), options())).path).toBe(path)
    const after = await stat(path, { bigint: true })
    expect([after.size, after.mtimeNs]).toEqual([before.size, before.mtimeNs])
  })

  test('an image that a process is fetching is refused', async () => {
    server.answers.push(server.part(mebibyte))
    const fetching = cache.fetch(wanted(), options())
    await server.asked(1)
    expect(await failureOf(cache.remove(`sha256-${server.sha256}`, unused))).toBeInstanceOf(ResourceBusyError)
    server.goOn()
    await fetching
  })

  test.each(['', '..', 'processes', `sha256-${'0'.repeat(64)}`])('%j is no image', async (id) => {
    await cache.fetch(wanted(), options())
    expect(await failureOf(cache.remove(id, unused))).toBeInstanceOf(InvalidArgumentError)
    expect(await cache.list()).toHaveLength(1)
  })
})

test('an image that comes into use while it is removed stays', async () => {
  const fetched = await cache.fetch(wanted(), options())
  const inUse = new ResourceBusyError({ reason: 'it is used' })
  let looks = 0
  const used = (): Promise<void> => ((looks += 1) === 1 ? Promise.resolve() : Promise.reject(inUse))
  expect(await failureOf(cache.remove(fetched.id, used))).toBe(inUse)
  expect(looks).toBe(2)
  expect(await cache.list()).toEqual([fetched])
  await cache.remove(fetched.id, unused)
  expect(await cache.list()).toEqual([])
})

test('what killed processes left is removed', async () => {
  const { id } = await cache.fetch(wanted(), options())
  await writeFile(join(folder, 'draft-left'), 'removed in part')
  await cache.remove(id, unused)
  expect(await readdir(folder)).toEqual(['processes'])
})

describe('what is not removed beside other work:', () => {
  test('an image that was given another time: its VMs tell what to do', async () => {
    const { path } = await cache.fetch(wanted(), options())
    await utimes(path, new Date(), new Date())
    await using other = await ImageServer.listen(randomBytes(mebibyte))
    await cache.fetch({ url: other.url(), sha256: other.sha256 }, options())
    expect(await readFile(path)).toEqual(server.content)
  })

  test('a folder that is damaged, which hinders no work on other images', async () => {
    const damaged = join(folder, `sha256-${'0'.repeat(64)}`)
    await mkdir(join(damaged, 'image.json'), { recursive: true })
    await cache.fetch(wanted(), options())
    expect(await readdir(damaged)).toContain('image.json')
  })

  test('an image of VMs in a folder that is noted, until they are gone', async () => {
    const { id, path } = await cache.fetch(wanted(), options())
    const vms = join(folder, 'vms-elsewhere')
    await cache.noteUsers(vms, [path])
    expect(await cache.foldersUsing({ id })).toEqual([])
    await mkdir(join(vms, 'vm'), { recursive: true })
    await writeFile(join(vms, 'vm', 'vm.json'), JSON.stringify({ image: path }), { mode: 0o600 })
    expect(await cache.foldersUsing({ id })).toEqual([vms])
    await rm(vms, { recursive: true })
    await writeFile(vms, 'a file now')
    expect(await cache.foldersUsing({ id })).toEqual([])
  })
})
