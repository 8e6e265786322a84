import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, link, lstat, mkdir, readdir, readFile, readlink, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Progress } from '../../../job/progress.js'
import type { Vm } from '../../../vm.js'
import { failureOf } from '../expect-failure.js'
import { outputOf } from '../guest-output.js'
import type { Cases } from '../case.js'

const newGuestPath = (): string => `/tmp/awaitvm-copy-${randomBytes(6).toString('hex')}`

/** What is in a folder, by its relative path: content, permissions, times, links. */
async function treeOf(folder: string): Promise<Record<string, unknown>> {
  const paths = (await readdir(folder, { recursive: true })).sort()
  const described = paths.map(async (path) => {
    const stats = await lstat(join(folder, path))
    const mtime = Math.floor(stats.mtimeMs / 1000)
    if (stats.isSymbolicLink()) return [path, { target: await readlink(join(folder, path)) }]
    const mode = (stats.mode & 0o7777).toString(8)
    if (stats.isDirectory()) return [path, { mode, mtime }]
    return [path, { mode, mtime, nlink: stats.nlink, content: (await readFile(join(folder, path))).toString('hex') }]
  })
  return Object.fromEntries((await Promise.all(described)) as [string, unknown][])
}

/** A folder with all that a folder may have. */
async function makeTree(folder: string): Promise<void> {
  await mkdir(join(folder, 'bin/empty'), { recursive: true })
  await mkdir(join(folder, 'deep/er/and/er'), { recursive: true })
  const files: readonly (readonly [string, string | Buffer, number])[] = [
    ['bin/tool', '#!/bin/sh\necho works\n', 0o755],
    ['bin/secret', 'secret', 0o600],
    ['deep/er/and/er/file', randomBytes(70_000), 0o644],
    ['empty', '', 0o444],
    [' odd -name\n"$HOME" é', 'odd', 0o640],
    ['long'.repeat(40), 'long', 0o644],
  ]
  for (const [path, content, mode] of files) {
    await writeFile(join(folder, path), content)
    await chmod(join(folder, path), mode)
    await utimes(join(folder, path), 1_600_000_000, 1_500_000_000 + mode)
  }
  await symlink('bin/tool', join(folder, 'link'))
  await symlink('none', join(folder, 'dangling'))
  await link(join(folder, 'bin/tool'), join(folder, 'bin/same'))
  for (const path of ['bin/empty', 'bin', 'deep/er/and/er', 'deep/er/and', 'deep/er', 'deep']) {
    await utimes(join(folder, path), 1_600_000_000, 1_400_000_000)
  }
  await chmod(join(folder, 'bin/empty'), 0o700)
}

const namesIn = (vm: Vm, folder: string): Promise<readonly string[]> => vm.guest.readdir(folder).unwrap()

export const guestFolderCopies: Cases = ({ host, promisesInGuest }) => {
  promisesInGuest(
    'a folder that is copied in and out again has the same files, permissions, times and links',
    ['guest.copyIn', 'guest.copyOut', 'guest.rm'],
    async (vm, trial) => {
      const target = newGuestPath()
      await makeTree(trial.path('tree'))
      await vm.guest.copyIn(trial.path('tree'), target).unwrap()
      expect(await namesIn(vm, `${target}/bin`)).toEqual(['empty', 'same', 'secret', 'tool'])
      expect(await vm.guest.stat(`${target}/bin/secret`).unwrap()).toMatchObject({
        mode: 0o600,
        size: 6,
        mtime: new Date((1_500_000_000 + 0o600) * 1000),
      })
      await vm.guest.copyOut(target, trial.path('back')).unwrap()
      expect(await treeOf(trial.path('back'))).toEqual(await treeOf(trial.path('tree')))
      if (!host.hasPaperFiles) expect(await outputOf(vm, [`${target}/link`])).toBe('works\n')
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )

  promisesInGuest(
    'an empty folder and a folder of many files are copied',
    ['guest.copyIn', 'guest.copyOut', 'guest.rm'],
    async (vm, trial) => {
      const target = newGuestPath()
      await mkdir(trial.path('empty'))
      await vm.guest.copyIn(trial.path('empty'), target).unwrap()
      expect(await namesIn(vm, target)).toEqual([])
      await vm.guest.copyOut(target, trial.path('empty-back')).unwrap()
      expect(await readdir(trial.path('empty-back'))).toEqual([])
      await vm.guest.rm(target, { recursive: true }).unwrap()

      await mkdir(trial.path('many'))
      const names = Array.from({ length: 500 }, (_, index) => `file-${String(index).padStart(3, '0')}`)
      for (const name of names) await writeFile(trial.path(`many/${name}`), name)
      await vm.guest.copyIn(trial.path('many'), target).unwrap()
      expect(await namesIn(vm, target)).toEqual(names)
      await vm.guest.copyOut(target, trial.path('many-back')).unwrap()
      expect(await treeOf(trial.path('many-back'))).toEqual(await treeOf(trial.path('many')))
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )

  promisesInGuest(
    'a copy reports its progress by bytes',
    ['guest.copyIn', 'guest.copyOut', 'guest.rm'],
    async (vm, trial) => {
      const target = newGuestPath()
      await mkdir(trial.path('tree'))
      for (const name of ['one', 'two']) await writeFile(trial.path(`tree/${name}`), randomBytes(700_000))
      const jobs = [
        () => vm.guest.copyIn(trial.path('tree'), target),
        () => vm.guest.copyOut(target, trial.path('back')),
        () => vm.guest.copyIn(trial.path('tree/one'), `${target}/three`),
        () => vm.guest.copyOut(`${target}/three`, trial.path('three')),
      ]
      for (const [index, start] of jobs.entries()) {
        const total = index < 2 ? 1_400_000 : 700_000
        const seen: Progress[] = []
        const job = start()
        job.onProgress((progress) => seen.push(progress))
        await job.unwrap()
        const done = seen.flatMap((progress) => (progress.done === undefined ? [] : [progress.done]))
        expect(done.length).toBeGreaterThan(0)
        expect(done).toEqual(done.toSorted((a, b) => a - b))
        for (const progress of seen) {
          if (progress.total !== undefined) expect([progress.unit, progress.total]).toEqual(['bytes', total])
        }
        expect(seen.at(-1)?.percent).toBe(100)
      }
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )

  promisesInGuest(
    'a folder never replaces one that has content',
    ['guest.copyIn', 'guest.copyOut', 'guest.mkdir', 'guest.writeFile', 'guest.rm'],
    async (vm, trial) => {
      const target = newGuestPath()
      await makeTree(trial.path('tree'))
      await vm.guest.mkdir(target).unwrap()
      await vm.guest.writeFile(`${target}/mine`, 'mine').unwrap()
      const into = await failureOf(vm.guest.copyIn(trial.path('tree'), target), 'GUEST_FILE_ERROR')
      expect([into.path, ['ENOTEMPTY', 'EEXIST'].includes(into.errno)]).toEqual([target, true])
      expect(into.hint).toBeTruthy()
      expect(await namesIn(vm, target)).toEqual(['mine'])

      await mkdir(trial.path('out'))
      await writeFile(trial.path('out/mine'), 'mine')
      const out = await failureOf(vm.guest.copyOut(target, trial.path('out')), 'INVALID_ARGUMENT')
      expect(out.path).toBe('to')
      expect(await readdir(trial.path('out'))).toEqual(['mine'])
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )

  promisesInGuest(
    'a copy into the guest has the owner that it is given',
    ['guest.copyIn', 'guest.stat', 'guest.rm', 'guest.exec'],
    async (vm, trial) => {
      if (host.hasPaperFiles || (await outputOf(vm, ['id', '-u'])) !== '0\n') return
      const target = newGuestPath()
      await makeTree(trial.path('tree'))
      await vm.guest.copyIn(trial.path('tree'), target, { owner: '1234:4321' }).unwrap()
      for (const path of ['', '/bin', '/bin/tool', '/deep/er/and/er/file']) {
        expect(await vm.guest.lstat(`${target}${path}`).unwrap()).toMatchObject({ uid: 1234, gid: 4321 })
      }
      expect(await vm.guest.stat(`${target}/bin/tool`).unwrap()).toMatchObject({ mode: 0o755 })
      const copying = vm.guest.copyIn(trial.path('tree'), `${target}-2`, { owner: 'awaitvm-nobody' })
      expect((await failureOf(copying, 'INVALID_ARGUMENT')).path).toBe('options.owner')
      expect(await vm.guest.exists(`${target}-2`).unwrap()).toBe(false)
      await vm.guest.rm(target, { recursive: true }).unwrap()
    },
  )

  promisesInGuest(
    'a cancelled copy leaves nothing, on either side',
    ['guest.copyIn', 'guest.copyOut', 'guest.mkdir', 'guest.readdir', 'guest.rm'],
    async (vm, trial) => {
      const folder = newGuestPath()
      await vm.guest.mkdir(folder).unwrap()
      await mkdir(trial.path('tree'))
      await mkdir(trial.path('target'))
      for (let index = 0; index < 4; index += 1) {
        await writeFile(trial.path(`tree/${String(index)}`), randomBytes(2_000_000))
      }
      /** True if it was cancelled; else it was faster. */
      const cancelled = async (job: ReturnType<Vm['guest']['copyIn']>): Promise<boolean> => {
        for await (const { done = 0 } of job) if (done > 0) break
        await job.cancel()
        const result = await job
        if (result.isErr()) expect(result.error.code, result.error.message).toBe('JOB_CANCELLED')
        return result.isErr()
      }
      const into = await cancelled(vm.guest.copyIn(trial.path('tree'), `${folder}/tree`))
      expect(await namesIn(vm, folder)).toEqual(into ? [] : ['tree'])
      if (into) await vm.guest.copyIn(trial.path('tree'), `${folder}/tree`).unwrap()
      const out = await cancelled(vm.guest.copyOut(`${folder}/tree`, trial.path('target/tree')))
      expect(await readdir(trial.path('target'))).toEqual(out ? [] : ['tree'])
      await vm.guest.rm(folder, { recursive: true }).unwrap()
    },
    { timeoutMs: 240_000 },
  )

  promisesInGuest(
    'what is not there is not copied',
    ['guest.copyIn', 'guest.copyOut', 'guest.stat'],
    async (vm, trial) => {
      const target = newGuestPath()
      expect((await failureOf(vm.guest.copyIn(trial.path('none'), target), 'INVALID_ARGUMENT')).path).toBe('from')
      expect(await vm.guest.exists(target).unwrap()).toBe(false)
      const error = await failureOf(vm.guest.copyOut(target, trial.path('out')), 'GUEST_FILE_ERROR')
      expect([error.errno, error.path]).toEqual(['ENOENT', target])
      expect(existsSync(trial.path('out'))).toBe(false)
    },
  )
}
