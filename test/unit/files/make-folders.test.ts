import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolders } from '../../../src/files/make-folders.js'
import { SmallFileSystem } from '../../support/small-file-system.js'

let parent: string
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'awaitvm-folders-'))
})
afterEach(async () => {
  await rm(parent, { recursive: true })
})

test('a folder is made with those above it, for this user alone, by several at once', async () => {
  const folder = join(parent, 'a/b/c')
  await Promise.all([1, 2, 3].map(() => makeFolders(folder)))
  for (const path of ['a', 'a/b', 'a/b/c']) expect((await stat(join(parent, path))).mode & 0o777).toBe(0o700)
})

test('one that is there stays as it is', async () => {
  const folder = join(parent, 'open')
  await mkdir(folder)
  const { mode } = await stat(folder)
  await makeFolders(folder)
  expect((await stat(folder)).mode).toBe(mode)
})

test('a file is not taken for a folder', async () => {
  await writeFile(join(parent, 'file'), '')
  await expect(makeFolders(join(parent, 'file'))).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(makeFolders(join(parent, 'file/folder'))).rejects.toMatchObject({ code: 'ENOTDIR' })
})

test.runIf(process.platform === 'linux')(
  'a directory in a folder that takes none is refused, and nothing hangs',
  async () => {
    const error = (await connect('embedded:///proc/awaitvm/vms'))._unsafeUnwrapErr()
    expect(error.message).toContain("mkdir '/proc/awaitvm'")
  },
)

test('a directory on a read-only file system is refused with a hint', async (context) => {
  await using small = await SmallFileSystem.mount(context)
  execFileSync('mount', ['-o', 'remount,ro', small.folder])
  for (const directory of [small.folder, join(small.folder, 'new')]) {
    const error = (await connect(`embedded://${directory}`))._unsafeUnwrapErr()
    expect(error.code).toBe('PERMISSION_DENIED')
    expect(error.message).toContain('mount the file system writable')
  }
})
