import { existsSync } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { AlreadyExistsError, InvalidArgumentError } from 'awaitvm'
import { writeNewFile } from '../../../src/files/new-file.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-new-file-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

const write = (name: string, during: () => Promise<void> = () => Promise.resolve()): Promise<void> =>
  writeNewFile(join(folder, name), 'test', async ({ file, draft }) => {
    await file.writeFile('half')
    expect(await readFile(draft, 'utf8')).toBe('half')
    await during()
    await file.writeFile(' and half')
  })

test('a file has its name only once it is complete, and only its owner can read it', async () => {
  await write('new', async () => {
    expect(existsSync(join(folder, 'new'))).toBe(false)
  })
  expect(await readdir(folder)).toEqual(['new'])
  expect(await readFile(join(folder, 'new'), 'utf8')).toBe('half and half')
  const { mode, nlink } = await stat(join(folder, 'new'))
  expect([mode & 0o777, nlink]).toEqual([0o600, 1])
})

test('a file, a link or a folder that is there is refused before anything is written', async () => {
  await writeFile(join(folder, 'file'), 'old')
  await symlink(join(folder, 'nothing'), join(folder, 'link'))
  for (const name of ['file', 'link', '.']) {
    await expect(write(name, () => Promise.reject(new Error('was written')))).rejects.toThrow(AlreadyExistsError)
  }
  expect((await readdir(folder)).sort()).toEqual(['file', 'link'])
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('old')
})

test('a file or a link that is made during the writing is not replaced, and nothing else is left', async () => {
  await expect(write('file', () => writeFile(join(folder, 'file'), 'of another'))).rejects.toThrow(AlreadyExistsError)
  await expect(write('link', () => symlink(join(folder, 'file'), join(folder, 'link')))).rejects.toThrow(
    AlreadyExistsError,
  )
  expect((await readdir(folder)).sort()).toEqual(['file', 'link'])
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('of another')
})

test('a failure leaves nothing', async () => {
  await expect(write('new', () => Promise.reject(new Error('no more')))).rejects.toThrow('no more')
  expect(await readdir(folder)).toEqual([])
})

test('a folder that is not there, or is a file, is named by the error', async () => {
  await writeFile(join(folder, 'file'), '')
  for (const name of ['none/new', 'file/new']) {
    const error: unknown = await write(name).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({ path: 'path', message: expect.stringContaining('no folder') })
  }
})

describe('if the folder can not be flushed', () => {
  /** Makes the flushes of folders fail, from the one of that number on. */
  async function failFlushes(code: string, from: number): Promise<void> {
    await using handle = await open(folder)
    const prototype = Object.getPrototypeOf(handle) as FileHandle
    const { sync } = prototype
    let times = 0
    const spy = vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
      if ((await this.stat()).isDirectory() && (times += 1) >= from) throw Object.assign(new Error(code), { code })
      await sync.call(this)
    })
    onTestFinished(() => {
      spy.mockRestore()
    })
  }

  test('when the file has its name, it is taken away', async () => {
    await failFlushes('ENOSPC', 2)
    await expect(write('new')).rejects.toMatchObject({ code: 'INSUFFICIENT_RESOURCES' })
    expect(await readdir(folder)).toEqual([])
  })

  test('before anything is written, nothing is', async () => {
    await failFlushes('EACCES', 1)
    const writing = write('new', () => Promise.reject(new Error('was written')))
    await expect(writing).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    expect(await readdir(folder)).toEqual([])
  })

  test('since its file system has no such thing, the file is there all the same', async () => {
    await failFlushes('EINVAL', 1)
    await write('new')
    expect(await readdir(folder)).toEqual(['new'])
  })
})
