import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HostError } from 'awaitvm'
import { guestOperations, type DriverOperation, type DriverOperationTypes, type GuestWay } from 'awaitvm/driver'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingTools, skipWithout } from '../../support/optional-tool.js'
import { guestShells, looseTask, LocalWay, type GuestShell, type LocalWayOptions } from '../../support/local-guest.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-guest-'))
})
afterEach(() => rm(folder, { recursive: true }))

const umask = Number.parseInt(execFileSync('sh', ['-c', 'umask'], { encoding: 'utf8' }), 8)

const at = (name: string): string => join(folder, name)

type Call = <O extends DriverOperation>(
  operation: O,
  input: Omit<DriverOperationTypes[O]['input'], 'vm'>,
  options?: { task?: ReturnType<typeof looseTask>; way?: LocalWayOptions },
) => Promise<DriverOperationTypes[O]['output']>

const callIn =
  (shell: GuestShell): Call =>
  (operation, input, { task = looseTask(operation), way } = {}) => {
    const operations = guestOperations({ use: async (_vm, _task, action) => action(new LocalWay(shell, way)) })
    const run = operations[operation] as (input: unknown, task: unknown) => Promise<never>
    return run({ vm: 'local', ...input }, task)
  }

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

const oddNames = ['-x', ' a b ', "quo'te", '"double"', 'line\nfeed', '$(x)', '*', 'ünï', '\\', 'a;b', '.hidden', '..c']

describe.each(guestShells)('with %s', (shell) => {
  const call = callIn(shell)

  beforeEach((context) => {
    skipWithout(context, missingTools(shell))
  })

  const read = async (path: string, range: { start?: number; end?: number } = {}): Promise<string> => {
    const got: Uint8Array[] = []
    await call('guest.readFile', { path, output: (bytes) => void got.push(bytes), ...range })
    return Buffer.concat(got).toString()
  }

  test('a file is written and read, also with an odd name', async () => {
    for (const name of oddNames) {
      await call('guest.writeFile', { path: at(name), input: pieces('one\n', '\0two'), append: false })
      expect(await readFile(at(name), 'utf8')).toBe('one\n\0two')
      expect(await read(at(name))).toBe('one\n\0two')
      expect(await call('guest.stat', { path: at(name), followLinks: false })).toMatchObject({ type: 'file', size: 8 })
    }
    const entries = await call('guest.readdir', { path: folder })
    expect(entries.map(({ name }) => name).sort()).toEqual([...oddNames].sort())
  })

  test('a relative path, with any first character, names a file of the folder that the way starts in', async () => {
    for (const path of oddNames) {
      for (const text of ['first', 'second']) {
        await call('guest.writeFile', { path, input: pieces(text), append: false }, { way: { cwd: folder } })
        expect(await readFile(at(path), 'utf8')).toBe(text)
      }
    }
  })

  test.each(['0', '604', '660', '777', '4711', '2750', '4600', '6644'])(
    'a file of the permissions %s keeps them',
    async (mode) => {
      await writeFile(at('kept'), 'old')
      execFileSync('chmod', [mode, at('kept')])
      await call('guest.writeFile', { path: at('kept'), input: pieces('new'), mode: 0o644, append: false })
      expect(((await stat(at('kept'))).mode & 0o7777).toString(8)).toBe(mode)
    },
  )

  test('a part of a file is read', async () => {
    await writeFile(at('f'), '0123456789')
    expect(await read(at('f'), { start: 3 })).toBe('3456789')
    expect(await read(at('f'), { start: 3, end: 5 })).toBe('34')
    expect(await read(at('f'), { start: 8, end: 50 })).toBe('89')
    expect(await read(at('f'), { start: 20 })).toBe('')
    expect(await read(at('f'), { start: 5, end: 5 })).toBe('')
  })

  test('a file of /proc is read, though it tells no size', async () => {
    expect(await read('/proc/version')).toMatch(/^Linux version/)
  })

  test('a file is copied out whole, with a size of any number of blocks, or none that it tells', async () => {
    const to = at('copy')
    for (const size of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const content = randomBytes(size)
      await writeFile(at('file'), content)
      await call('guest.copyOut', { from: at('file'), to })
      expect(content.equals(await readFile(to)), `${size} bytes`).toBe(true)
    }
    await call('guest.copyOut', { from: '/proc/version', to })
    expect(await readFile(to, 'utf8')).toBe(await readFile('/proc/version', 'utf8'))
  })

  test('a file that fails to be read is told as such, and no copy is made', async () => {
    // The first page of a process is never there.
    const from = `/proc/${process.pid}/mem`
    const copied = call('guest.copyOut', { from, to: at('copy') })
    await expect(copied).rejects.toThrow(`${from}: Input/output error`)
    expect(await readdir(folder)).toEqual([])
  })

  test('what can not be read is told by its errno', async () => {
    await writeFile(at('f'), '')
    execFileSync('mkfifo', [at('pipe')])
    await symlink('loop', at('loop'))
    const cases = { missing: 'ENOENT', 'f/below': 'ENOTDIR', pipe: 'EINVAL', loop: 'ELOOP', '.': 'EISDIR' }
    for (const [name, errno] of Object.entries(cases)) {
      await expect(read(`${folder}/${name}`), name).rejects.toMatchObject({
        code: 'GUEST_FILE_ERROR',
        errno,
        path: `${folder}/${name}`,
      })
    }
  })

  test('a file that is replaced keeps its permissions, also by way of a link', async () => {
    await writeFile(at('kept'), 'old')
    await chmod(at('kept'), 0o4751)
    await mkdir(at('sub'))
    await symlink('../kept', at('sub/link'))
    await call('guest.writeFile', { path: at('sub/link'), input: pieces('new'), mode: 0o600, append: false })
    expect(await readFile(at('kept'), 'utf8')).toBe('new')
    expect((await stat(at('kept'))).mode & 0o7777).toBe(0o4751)
    expect((await lstat(at('sub/link'))).isSymbolicLink()).toBe(true)
    expect(await readdir(folder)).toEqual(['kept', 'sub'])
  })

  test('a new file has the permissions that are asked for, else those of the umask', async () => {
    await call('guest.writeFile', { path: at('asked'), input: pieces(), mode: 0o640, append: false })
    await call('guest.writeFile', { path: at('plain'), input: pieces(), append: false })
    expect((await stat(at('asked'))).mode & 0o7777).toBe(0o640)
    expect((await stat(at('plain'))).mode & 0o7777).toBe(0o666 & ~umask)
  })

  test('what is appended stands at the end, in a file that may be new', async () => {
    for (const text of ['one', 'two'])
      await call('guest.writeFile', { path: at('log'), input: pieces(text), append: true })
    expect(await readFile(at('log'), 'utf8')).toBe('onetwo')
    expect(await readdir(folder)).toEqual(['log'])
  })

  test('a file that can not be written is told by its errno, and nothing is left', async () => {
    await mkdir(at('sub'))
    await writeFile(at('f'), '')
    await symlink('nowhere', at('dangling'))
    execFileSync('mkfifo', [at('pipe')])
    const cases = { sub: 'EISDIR', 'no/f': 'ENOENT', 'f/below': 'ENOTDIR', dangling: 'ENOENT', pipe: 'EINVAL' }
    for (const [name, errno] of Object.entries(cases)) {
      const writing = call('guest.writeFile', { path: at(name), input: pieces('x'), append: false })
      await expect(writing, name).rejects.toMatchObject({ code: 'GUEST_FILE_ERROR', errno, path: at(name) })
    }
    expect((await readdir(folder)).sort()).toEqual(['dangling', 'f', 'pipe', 'sub'])
  })

  test.each([
    ['the source fails', {}, new Error('source')],
    ['a part is lost on the way', { loses: { from: 1, to: 2 } }, undefined],
    ['the end is lost on the way', { loses: { from: 3, to: 1000 } }, undefined],
  ])('if %s, the file stays as it was, and no draft is left', async (_, way, failure) => {
    await writeFile(at('f'), 'old')
    async function* input(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('new content')
      if (failure !== undefined) throw failure
    }
    const writing = call('guest.writeFile', { path: at('f'), input: input(), append: false }, { way })
    if (failure === undefined) await expect(writing).rejects.toMatchObject({ code: 'HOST_ERROR' })
    else await expect(writing).rejects.toBe(failure)
    expect(await readFile(at('f'), 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['f'])
  })

  test('a write that is cancelled leaves the file as it was, and no draft', async () => {
    await writeFile(at('f'), 'old')
    const task = looseTask('guest.writeFile')
    async function* input(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('new content')
      task.cancel(new Error('cancelled'))
      yield Buffer.from('more')
    }
    const writing = call('guest.writeFile', { path: at('f'), input: input(), append: false }, { task })
    await expect(writing).rejects.toThrow('cancelled')
    expect(await readFile(at('f'), 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['f'])
  })

  test('a source that gives nothing more holds up neither a failure nor a cancel', async () => {
    const task = looseTask('guest.writeFile')
    let left = 0
    const source = (): AsyncIterable<Uint8Array> => ({
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => undefined),
        return: async () => {
          left += 1
          return { done: true, value: undefined }
        },
      }),
    })
    await expect(call('guest.writeFile', { path: at('no/f'), input: source(), append: false })).rejects.toMatchObject({
      errno: 'ENOENT',
    })
    const writing = call('guest.writeFile', { path: at('f'), input: source(), append: false }, { task })
    task.cancel(new Error('cancelled'))
    await expect(writing).rejects.toThrow('cancelled')
    expect(left).toBe(2)
    expect(await readdir(folder)).toEqual([])
  })

  test('a folder is listed with the types of what is in it', async () => {
    await writeFile(at('f'), '')
    await mkdir(at('d'))
    await symlink('d', at('l'))
    execFileSync('mkfifo', [at('o')])
    const entries = await call('guest.readdir', { path: folder })
    expect([...entries].sort((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: 'd', type: 'directory' },
      { name: 'f', type: 'file' },
      { name: 'l', type: 'symlink' },
      { name: 'o', type: 'other' },
    ])
    expect(await call('guest.readdir', { path: at('d') })).toEqual([])
    const cases = { f: 'ENOTDIR', none: 'ENOENT' }
    for (const [name, errno] of Object.entries(cases)) {
      await expect(call('guest.readdir', { path: at(name) })).rejects.toMatchObject({ errno })
    }
  })

  test('a name that is not UTF-8 is listed with replacement characters', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${folder}/a`), Buffer.from([0xff])]), '')
    expect(await call('guest.readdir', { path: folder })).toEqual([{ name: 'a\ufffd', type: 'file' }])
  })

  test('stat tells what Node tells', async () => {
    await writeFile(at('f'), 'abc', { mode: 0o640 })
    await symlink("tar'get\n", at('l'))
    await symlink('f', at('to-f'))
    for (const name of ['f', 'l', '.']) {
      const real = await lstat(at(name))
      const told = await call('guest.stat', { path: at(name), followLinks: false })
      expect(told).toMatchObject({ size: real.size, mode: real.mode & 0o7777, uid: real.uid, gid: real.gid })
      expect(Math.abs((told?.mtime.getTime() ?? 0) - real.mtimeMs)).toBeLessThanOrEqual(1000)
    }
    expect(await call('guest.stat', { path: at('l'), followLinks: false })).toMatchObject({
      type: 'symlink',
      target: "tar'get\n",
    })
    expect(await call('guest.stat', { path: at('to-f'), followLinks: true })).toMatchObject({ type: 'file', size: 3 })
    expect(await call('guest.stat', { path: '/dev/null', followLinks: true })).toMatchObject({ type: 'other' })
    expect(await call('guest.stat', { path: at('l'), followLinks: true })).toBeUndefined()
    expect(await call('guest.stat', { path: at('none'), followLinks: false })).toBeUndefined()
    expect(await call('guest.stat', { path: at('f/below'), followLinks: false })).toBeUndefined()
  })

  test('folders are made', async () => {
    await call('guest.mkdir', { path: at('-d'), recursive: false, mode: 0o705 })
    expect((await stat(at('-d'))).mode & 0o7777).toBe(0o705)
    await call('guest.mkdir', { path: at('a/b/c'), recursive: true })
    await call('guest.mkdir', { path: at('a/b/c'), recursive: true })
    expect((await stat(at('a/b/c'))).isDirectory()).toBe(true)
    await expect(call('guest.mkdir', { path: at('a'), recursive: false })).rejects.toMatchObject({ errno: 'EEXIST' })
    await expect(call('guest.mkdir', { path: at('x/y'), recursive: false })).rejects.toMatchObject({ errno: 'ENOENT' })
  })

  test('files and folders are removed, and links are not followed', async () => {
    await mkdir(at('d/e'), { recursive: true })
    await writeFile(at('d/e/f'), '')
    await symlink('d', at('l'))
    const remove = (name: string, recursive: boolean, force: boolean): Promise<void> =>
      call('guest.rm', { path: at(name), recursive, force })
    await expect(remove('d', false, false)).rejects.toMatchObject({ errno: 'EISDIR' })
    await expect(remove('none', true, false)).rejects.toMatchObject({ errno: 'ENOENT' })
    await remove('none', false, true)
    await remove('l', true, false)
    expect(await readdir(folder)).toEqual(['d'])
    await remove('d', true, false)
    expect(await readdir(folder)).toEqual([])
    for (const path of ['/x/..', '/', `${folder}/.`, `${folder}/d/../`]) {
      await expect(call('guest.rm', { path, recursive: true, force: true })).rejects.toMatchObject({
        errno: 'EINVAL',
        path,
      })
    }
  })

  test('a rename is that of rename(2), and not that of mv', async () => {
    const rename = (from: string, to: string): Promise<void> => call('guest.rename', { from: at(from), to: at(to) })
    for (const name of ['d/in', 'full/in', 'empty']) await mkdir(at(name), { recursive: true })
    await writeFile(at('f'), 'f')
    await writeFile(at('g'), 'g')
    await symlink('d', at('l'))
    await rename('f', 'g')
    expect(await readFile(at('g'), 'utf8')).toBe('f')
    await rename('g', 'g')
    await rename('d', 'empty')
    expect(await readdir(at('empty'))).toEqual(['in'])
    await rename('g', 'l')
    expect(await readFile(at('l'), 'utf8')).toBe('f')
    const cases = [
      ['none', 'x', 'ENOENT', 'none'],
      ['l', 'no/x', 'ENOENT', 'no/x'],
      ['l', 'full', 'EISDIR', 'full'],
      ['empty', 'full', 'ENOTEMPTY', 'full'],
      ['empty', 'l', 'ENOTDIR', 'l'],
      ['empty', 'empty/in/x', 'EINVAL', 'empty/in/x'],
    ] as const
    for (const [from, to, errno, path] of cases) {
      await expect(rename(from, to), `${from} ${to}`).rejects.toMatchObject({ errno, path: at(path) })
    }
  })
})

test('a write that may have left a draft warns of it, unless nothing of its content was sent', async () => {
  const warnings: string[] = []
  const listen = ({ message }: Error): void => void warnings.push(message)
  process.on('warning', listen)
  for (const takes of [false, true]) {
    const lost = new HostError({
      reason: 'the connection is lost',
      native: { driver: 'lost', code: 1, message: 'lost' },
    })
    const way: GuestWay = {
      vm: 'lost',
      driver: 'lost',
      run: async (_program, { input }) => {
        if (takes) await input?.[Symbol.asyncIterator]().next()
        throw lost
      },
    }
    const { 'guest.writeFile': write } = guestOperations({ use: (_vm, _task, action) => action(way) })
    const input = { vm: 'lost', path: '/srv/file', input: pieces('content'), append: false }
    await expect(write!(input, looseTask('guest.writeFile'))).rejects.toBe(lost)
    // A warning is emitted in the next tick.
    await new Promise(setImmediate)
    expect(warnings).toHaveLength(takes ? 1 : 0)
  }
  process.off('warning', listen)
  expect(warnings[0]).toContain('VM lost: an unfinished copy of /srv/file may be left beside it in the guest')
})
