import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, rmSync, truncateSync } from 'node:fs'
import {
  chmod,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { guestOperations } from 'awaitvm/driver'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingTools, skipWithout } from '../../support/optional-tool.js'
import { guestShells, looseTask, LocalWay, type LocalWayOptions, type LooseTask } from '../../support/local-guest.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-copy-'))
})
afterEach(() => {
  execFileSync('chmod', ['-R', 'u+rwx', folder])
  return rm(folder, { recursive: true })
})

const at = (name: string): string => join(folder, name)

/** All that there is of a folder, but for the numbers of its files. */
async function contentOf(root: string, path = ''): Promise<Record<string, unknown>> {
  const full = join(root, path)
  const stats = await lstat(full)
  const own = {
    mode: stats.isSymbolicLink() ? undefined : (stats.mode & 0o7777).toString(8),
    time: Math.floor(stats.mtimeMs / 1000),
    links: stats.isFile() ? stats.nlink : undefined,
    content: stats.isFile() ? await readFile(full, 'latin1') : stats.isSymbolicLink() ? await readlink(full) : 'folder',
  }
  if (!stats.isDirectory()) return { [path]: own }
  const inside = await Promise.all(
    (await readdir(full)).sort().map((name) => contentOf(root, path === '' ? name : `${path}/${name}`)),
  )
  return Object.assign({ [path]: own }, ...inside) as Record<string, unknown>
}

async function makeFolder(): Promise<string> {
  const from = at('from')
  const long = 'l'.repeat(120)
  for (const name of ['empty', `deep/${long}/${long}`, 'closed', 'ünï côdé'])
    await mkdir(join(from, name), { recursive: true })
  const files = [
    '-x',
    'line\nfeed',
    'sp ace',
    "quo'te",
    `deep/${long}/${long}/${long}`,
    'closed/in',
    'ünï côdé/ß',
    'none',
    'big',
  ]
  for (const name of files)
    await writeFile(join(from, name), name === 'none' ? '' : name.repeat(name === 'big' ? 200_000 : 1))
  await link(join(from, '-x'), join(from, 'hard'))
  await symlink('-x', join(from, 'soft'))
  await mkdir(join(from, 'links'))
  await symlink('/nowhere/'.repeat(20), join(from, 'links/dangling'))
  await symlink('../..', join(from, 'links/out'))
  await chmod(join(from, '-x'), 0o751)
  await utimes(join(from, '-x'), 1_000_000_000, 1_000_000_000)
  await lutimes(join(from, 'soft'), 1_100_000_000, 1_100_000_000)
  await utimes(join(from, 'closed/in'), 0, 0)
  await chmod(join(from, 'closed'), 0o511)
  for (const name of ['empty', 'closed', 'deep', 'links', '.'])
    await utimes(join(from, name), 1_200_000_000, 1_200_000_000)
  return from
}

describe.each(guestShells)('with %s', (shell) => {
  beforeEach((context) => {
    skipWithout(context, missingTools(shell))
  })

  interface Options {
    readonly task?: LooseTask
    readonly way?: LocalWayOptions
    readonly owner?: string
  }

  const operations = (way?: LocalWayOptions): ReturnType<typeof guestOperations> =>
    guestOperations({ use: async (_vm, _task, action) => action(new LocalWay(shell, way)) })
  const copyIn = (
    from: string,
    to: string,
    { task = looseTask('guest.copyIn'), way, owner }: Options = {},
  ): Promise<void> => operations(way)['guest.copyIn']!({ vm: 'local', from, to, owner }, task)
  const copyOut = (from: string, to: string, { task = looseTask('guest.copyOut'), way }: Options = {}): Promise<void> =>
    operations(way)['guest.copyOut']!({ vm: 'local', from, to }, task)

  test('a folder is the same after it was copied in and out again', async () => {
    const from = await makeFolder()
    const task = looseTask('guest.copyIn')
    await copyIn(from, at('guest'), { task })
    expect(await contentOf(at('guest'))).toEqual(await contentOf(from))
    const out = looseTask('guest.copyOut')
    await copyOut(at('guest'), at('to'), { task: out })
    expect(await contentOf(at('to'))).toEqual(await contentOf(from))
    for (const { reported } of [task, out]) {
      const last = reported.at(-1)
      expect(last).toMatchObject({ phase: 'copying', unit: 'bytes', total: last?.done })
      expect(last?.done).toBeGreaterThan(600_000)
    }
    expect((await readdir(folder)).sort()).toEqual(['from', 'guest', 'to'])
  })

  test('any folder is the same after it was copied in and out again', async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((text) => {
      const bytes = Buffer.from(text)
      return bytes.length < 250 && bytes.toString() === text && !/[/\0]/.test(text) && text !== '.' && text !== '..'
    })
    const modes = fc.integer({ min: 0, max: 0o777 })
    const times = fc.integer({ min: 0, max: 4_000_000_000 })
    const node = fc.record({
      name,
      kind: fc.constantFrom('file', 'folder', 'link', 'hard'),
      mode: modes,
      time: times,
      content: fc.uint8Array(),
    })
    const property = fc.asyncProperty(fc.array(node, { maxLength: 12, minLength: 1 }), async (nodes) => {
      await rm(folder, { recursive: true })
      await mkdir(at('from'), { recursive: true })
      const folders = ['from']
      let file: string | undefined
      const made: (() => Promise<void>)[] = []
      for (const { name, kind, mode, time, content } of nodes) {
        const path = at(join(folders[content.length % folders.length]!, name))
        if (await lstat(path).catch(() => undefined)) continue
        if (kind === 'folder') {
          await mkdir(path)
          folders.push(path.slice(folder.length + 1))
        } else if (kind === 'link') await symlink(Buffer.from(content).toString('hex') || '.', path)
        else if (kind === 'hard' && file !== undefined) await link(file, path)
        else await writeFile((file = path), content)
        if (kind !== 'link') made.unshift(() => utimes(path, time, time).then(() => chmod(path, mode)))
        else await lutimes(path, time, time)
      }
      for (const finish of made) await finish()
      await copyIn(at('from'), at('guest'))
      await copyOut(at('guest'), at('to'))
      expect(await contentOf(at('to'))).toEqual(await contentOf(at('from')))
    })
    await fc.assert(property, { numRuns: 15 })
  })

  test('a folder that is there and empty is filled, and one with something in it is refused', async () => {
    await mkdir(at('from/sub'), { recursive: true })
    for (const copy of [copyIn, copyOut]) {
      await mkdir(at('to'))
      await copy(at('from'), at('to/'))
      expect(await readdir(at('to'))).toEqual(['sub'])
      const error = copy === copyIn ? { errno: 'ENOTEMPTY', path: at('to') } : { code: 'INVALID_ARGUMENT', path: 'to' }
      await expect(copy(at('from'), at('to'))).rejects.toMatchObject(error)
      await rm(at('to'), { recursive: true })
      await writeFile(at('to'), '')
      await expect(copy(at('from'), at('to'))).rejects.toMatchObject(
        copy === copyIn ? { errno: 'ENOTDIR' } : { code: 'INVALID_ARGUMENT', path: 'to' },
      )
      await rm(at('to'))
      await expect(copy(at('from'), at('no/to'))).rejects.toMatchObject(
        copy === copyIn ? { errno: 'ENOENT' } : { code: 'INVALID_ARGUMENT' },
      )
    }
    expect((await readdir(folder)).sort()).toEqual(['from'])
  })

  test('a file is copied with its permissions and its time', async () => {
    await writeFile(at('from'), 'content')
    await chmod(at('from'), 0o750)
    await utimes(at('from'), 1_000_000_000, 1_000_000_000)
    for (const copy of [copyIn, copyOut]) {
      await copy(at('from'), at('to'))
      expect(await contentOf(at('to'))).toEqual(await contentOf(at('from')))
      await chmod(at('to'), 0o604)
      await copy(at('from'), at('to'))
      expect((await lstat(at('to'))).mode & 0o7777).toBe(0o604)
      await rm(at('to'))
    }
  })

  test('what is copied in gets the owner that is asked for', async (context) => {
    skipWithout(context, process.geteuid?.() === 0 ? undefined : 'not root: only root can change the owner')
    await mkdir(at('from'))
    await writeFile(at('from/f'), '', { mode: 0o640 })
    await copyIn(at('from'), at('to'), { owner: 'daemon:12' })
    await copyIn(at('from/f'), at('file'), { owner: '7' })
    for (const [name, uid, gid] of [
      ['to', 1, 12],
      ['to/f', 1, 12],
      ['file', 7, 0],
    ] as const) {
      expect(await lstat(at(name)), name).toMatchObject({ uid, gid })
    }
    expect((await lstat(at('file'))).mode & 0o7777).toBe(0o640)
    for (const [from, to] of [
      ['from', 'x'],
      ['from/f', 'y'],
    ] as const) {
      await expect(copyIn(at(from), at(to), { owner: 'nobody-such' })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        path: 'options.owner',
      })
    }
    expect((await readdir(folder)).sort()).toEqual(['file', 'from', 'to'])
  })

  test('a pipe or socket is refused by its name, before anything is sent', async () => {
    await mkdir(at('from/sub'), { recursive: true })
    execFileSync('mkfifo', [at('from/sub/pipe')])
    const ran: unknown[] = []
    await expect(
      copyIn(at('from'), at('to'), { way: { onRun: (program) => ran.push(program) } }),
    ).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      path: 'from',
      reason: expect.stringContaining('sub/pipe') as string,
    })
    expect(ran).toEqual([])
    await expect(copyOut(at('from'), at('to'))).rejects.toMatchObject({
      code: 'GUEST_FILE_ERROR',
      errno: 'EINVAL',
      reason: expect.stringContaining('sub/pipe') as string,
    })
    expect(await readdir(folder)).toEqual(['from'])
  })

  test('a copy that is cancelled leaves nothing', async () => {
    const from = await makeFolder()
    for (const copy of [copyIn, copyOut]) {
      const task = looseTask('guest.copyIn')
      const cancelling = {
        ...task,
        progress: () => {
          task.cancel(new Error('cancelled'))
        },
      }
      await expect(copy(from, at('to'), { task: cancelling })).rejects.toThrow('cancelled')
      expect(await readdir(folder)).toEqual(['from'])
    }
  })

  test.each([
    ['a byte of a header', 700, 701],
    ['a header', 512, 1024],
    ['a block of content', 1024, 1536],
    ['the end', 3000, 1_000_000],
  ])('a copy that loses %s on the way fails, and leaves nothing', async (_, from, to) => {
    await mkdir(at('from'))
    await writeFile(at('from/f'), 'x'.repeat(2000))
    const copying = copyIn(at('from'), at('to'), { way: { loses: { from, to } } })
    await expect(copying).rejects.toMatchObject({ code: 'HOST_ERROR' })
    expect(await readdir(folder)).toEqual(['from'])
  })

  test.each([
    ['vanishes', () => rmSync(at('from'), { recursive: true })],
    ['gets shorter', () => truncateSync(at('from/a'), 10)],
    ['gets longer', () => appendFileSync(at('from/a'), 'more')],
  ])('a file that %s while its folder is packed is an error', async (_, change) => {
    await mkdir(at('from'))
    for (const name of ['a', 'b']) await writeFile(at(`from/${name}`), 'a'.repeat(1_000_000))
    await link(at('from/a'), at('kept'))
    const task = looseTask('guest.copyIn')
    const changing = {
      ...task,
      progress: () => {
        if (existsSync(at('from'))) change()
      },
    }
    const copying = copyIn(at('from'), at('to'), { task: changing })
    await expect(copying).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'from' })
    expect(existsSync(at('to'))).toBe(false)
  })
})
