import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { guestOperations, type DriverOperations, type ProgramEnd, type ProgramIo } from 'awaitvm/driver'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checksum, tarEnd, tarHeader, tarPadding, type TarEntry } from '../../../src/files/tar-header.js'
import { looseTask } from '../../support/local-guest.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-hostile-'))
})
afterEach(() => rm(folder, { recursive: true }))

type Answer = Iterable<Uint8Array>

/** Guest operations whose every program prints what a guest has made up, and succeeds. */
function hostile(answer: () => Answer): DriverOperations {
  const run = async (_program: unknown, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd> => {
    io.begun({ kill: async () => false })
    for (const bytes of answer()) {
      signal.throwIfAborted()
      await io.output('stdout', bytes)
      signal.throwIfAborted()
    }
    return { exitCode: 0 }
  }
  return guestOperations({ use: async (_vm, _task, action) => action({ vm: 'made', driver: 'made', run }) })
}

const copyOut = (answer: () => Answer, to = join(folder, 'to')): Promise<void> =>
  hostile(answer)['guest.copyOut']!({ vm: 'made', from: '/from', to }, looseTask('guest.copyOut'))

const entry = (type: TarEntry['type'], path: string, rest: Partial<TarEntry> = {}): Buffer =>
  tarHeader({ type, path, mode: 0o755, mtime: 0, size: 0, ...rest })

const file = (path: string, content = 'content'): Buffer => {
  const size = Buffer.byteLength(content)
  return Buffer.concat([entry('file', path, { size }), Buffer.from(content), Buffer.alloc(tarPadding(size))])
}

/** A header with some bytes changed, and the right checksum. */
function forged(header: Buffer, changes: Readonly<Record<number, string>>): Buffer {
  for (const [at, text] of Object.entries(changes)) header.write(text, Number(at), 'latin1')
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

const folderOf =
  (...parts: readonly Uint8Array[]) =>
  (): Answer => [Buffer.from('directory 1000000\n'), entry('directory', '.'), ...parts, tarEnd()]

const long = 'n'.repeat(256)

const refused: readonly (readonly [string, () => Answer, string])[] = [
  ['an absolute path', folderOf(file('/etc/x')), 'PROTOCOL_ERROR'],
  ['a path that leads up', folderOf(entry('directory', 'a'), file('a/../../x')), 'PROTOCOL_ERROR'],
  ['a path of two dots', folderOf(entry('directory', '..')), 'PROTOCOL_ERROR'],
  ['the root', folderOf(entry('directory', '/')), 'PROTOCOL_ERROR'],
  ['an empty name in a path', folderOf(entry('directory', 'a'), file('a//x')), 'PROTOCOL_ERROR'],
  ['a file below a link', folderOf(entry('symlink', 'l', { target: '/tmp' }), file('l/x')), 'PROTOCOL_ERROR'],
  ['a file in the place of a link', folderOf(entry('symlink', 'l', { target: '../x' }), file('l')), 'PROTOCOL_ERROR'],
  [
    'a folder in the place of a link',
    folderOf(entry('symlink', 'l', { target: '..' }), entry('directory', 'l'), file('l/x')),
    'PROTOCOL_ERROR',
  ],
  ['a file below a file', folderOf(file('f'), file('f/x')), 'PROTOCOL_ERROR'],
  ['a file whose folder is missing', folderOf(file('no/x')), 'PROTOCOL_ERROR'],
  ['a name twice', folderOf(file('f'), file('f')), 'PROTOCOL_ERROR'],
  ['a hard link to outside', folderOf(entry('link', 'h', { target: '../../etc/passwd' })), 'PROTOCOL_ERROR'],
  ['a hard link to an absolute path', folderOf(entry('link', 'h', { target: '/etc/passwd' })), 'PROTOCOL_ERROR'],
  [
    'a hard link through a link',
    folderOf(entry('symlink', 'l', { target: '/etc' }), entry('link', 'h', { target: 'l/passwd' })),
    'PROTOCOL_ERROR',
  ],
  ['a hard link to a folder', folderOf(entry('directory', 'd'), entry('link', 'h', { target: 'd' })), 'PROTOCOL_ERROR'],
  ['a file in place of the folder', folderOf(file('.')), 'PROTOCOL_ERROR'],
  ['a device', folderOf(forged(entry('file', 'null'), { 156: '3' })), 'GUEST_FILE_ERROR'],
  ['a named pipe', folderOf(forged(entry('file', 'pipe'), { 156: '6' })), 'GUEST_FILE_ERROR'],
  ['a name that is too long', folderOf(file(long)), 'GUEST_FILE_ERROR'],
  ['a name that is not UTF-8', folderOf(forged(entry('file', 'x'), { 0: '\xff' })), 'GUEST_FILE_ERROR'],
  ['a damaged header', folderOf(forged(file('f'), { 124: 'x' }).fill(1, 130, 131)), 'PROTOCOL_ERROR'],
  ['a negative size', folderOf(forged(entry('file', 'f'), { 124: '\xff'.repeat(12) })), 'PROTOCOL_ERROR'],
  ['a header of 8 GiB', folderOf(forged(entry('file', 'f'), { 156: 'x', 124: '77777777777\0' })), 'PROTOCOL_ERROR'],
  ['more bytes than it was told to have', folderOf(entry('file', 'f', { size: 1_000_001 })), 'GUEST_FILE_ERROR'],
  [
    'an end before the end',
    () => [Buffer.from('directory 9\n'), entry('directory', '.'), entry('file', 'f', { size: 5 })],
    'PROTOCOL_ERROR',
  ],
  ['no end', () => [Buffer.from('directory 9\n'), entry('directory', '.')], 'PROTOCOL_ERROR'],
  ['more after the end', folderOf(tarEnd(), Buffer.alloc(3_000_000)), 'PROTOCOL_ERROR'],
  ['nothing', () => [], 'PROTOCOL_ERROR'],
  ['another first line', () => [Buffer.from('folder 7\n')], 'PROTOCOL_ERROR'],
  ['an endless first line', () => [Buffer.alloc(1_000_000, 'x')], 'PROTOCOL_ERROR'],
  ['a file that is too short', () => [Buffer.from('file 10 644 0\nshort')], 'HOST_ERROR'],
]

test.each(refused)('%s is refused, and nothing is left', async (_, answer, code) => {
  await expect(copyOut(answer)).rejects.toMatchObject({ code })
  expect(await readdir(folder)).toEqual([])
})

test.each([
  ['file', () => [Buffer.from('file 7 644 0\ncontent')]],
  ['folder', folderOf(file('f'))],
])('a %s whose copy is cancelled between its last byte and its end is not there', async (_, answer) => {
  function* cancelled(): Generator<Uint8Array> {
    yield* answer()
    throw new DOMException('cancelled', 'AbortError')
  }
  await expect(copyOut(cancelled)).rejects.toThrow('cancelled')
  expect(await readdir(folder)).toEqual([])
})

test.each([
  ['an endless file', 'file 0 644 0\n', Buffer.alloc(1 << 20)],
  ['an archive of headers without end', 'directory 9\n', forged(entry('file', 'x'), { 156: 'g' })],
  [
    'an archive of folders without end',
    'directory 9\n',
    Buffer.concat(Array.from({ length: 1000 }, () => entry('directory', '.'))),
  ],
])('%s is refused, and nothing is left', async (_, head, piece) => {
  function* endless(): Generator<Uint8Array> {
    yield Buffer.from(head)
    for (;;) yield piece
  }
  await expect(copyOut(endless)).rejects.toMatchObject({ code: expect.stringMatching(/_ERROR|_ARGUMENT/) as string })
  expect(await readdir(folder)).toEqual([])
})

test('an archive of which bytes are changed is refused or taken, and nothing is written outside of the folder', async () => {
  const good = Buffer.concat([
    ...folderOf(
      entry('directory', './d'),
      file('./d/f'),
      entry('symlink', './l', { target: 'd' }),
      entry('link', './h', { target: './d/f' }),
    )(),
  ])
  const change = fc.record({
    at: fc.integer({ min: 18, max: good.length - 1 }),
    byte: fc.constantFrom(0, 0x2f, 0x2e, 0x30, 0x37, 0x80, 0xff),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, isForged) => {
      const archive = Buffer.from(good)
      for (const { at, byte } of changes) archive[at] = byte
      for (let at = 18; isForged && at + 512 <= archive.length; at += 512) {
        if (archive[at] !== 0) forged(archive.subarray(at, at + 512), {})
      }
      await copyOut(() => [archive]).catch((error: unknown) => {
        expect(error).toMatchObject({
          code: expect.stringMatching(/PROTOCOL_ERROR|GUEST_FILE_ERROR|HOST_ERROR/) as string,
        })
      })
      expect((await readdir(folder)).filter((name) => name !== 'to')).toEqual([])
      await rm(join(folder, 'to'), { recursive: true, force: true })
    }),
    { numRuns: 200 },
  )
})

test.each([
  ['readdir', 'guest.readdir', 'x/y', 'HOST_ERROR'],
  ['readdir', 'guest.readdir', 'fname/q../', 'PROTOCOL_ERROR'],
  ['readdir', 'guest.readdir', 'f../', 'PROTOCOL_ERROR'],
  ['readdir', 'guest.readdir', 'f/', 'PROTOCOL_ERROR'],
  ['stat', 'guest.stat', 'what?', 'PROTOCOL_ERROR'],
  ['stat', 'guest.stat', '81a4 -1 0 0 0 0 0\n', 'PROTOCOL_ERROR'],
  ['getInfo', 'guest.getInfo', '', 'PROTOCOL_ERROR'],
  ['waitUntilReady', 'guest.waitUntilReady', 'maybe\n', 'PROTOCOL_ERROR'],
] as const)('a wrong answer to %s is told as one', async (_, operation, answer, code) => {
  const input = { vm: 'made', path: '/f', followLinks: false }
  await expect(hostile(() => [Buffer.from(answer)])[operation]!(input, looseTask(operation))).rejects.toMatchObject({
    code,
  })
})

test.each(['guest.readdir', 'guest.stat', 'guest.getInfo', 'guest.getNetworkAddresses', 'guest.mkdir'] as const)(
  'an endless answer to %s is bounded',
  async (operation) => {
    function* endless(): Generator<Uint8Array> {
      for (;;) yield Buffer.alloc(1 << 20, 'f')
    }
    const input = { vm: 'made', path: '/f', followLinks: false, recursive: false }
    await expect(hostile(endless)[operation]!(input, looseTask(operation))).rejects.toMatchObject({
      code: 'PROTOCOL_ERROR',
    })
  },
)

test('a file that grows without end while it is copied is copied as far as it went at first', async () => {
  function* endless(): Generator<Uint8Array> {
    yield Buffer.from('file 6 644 0\nfir')
    for (;;) yield Buffer.from('st more')
  }
  await copyOut(endless)
  expect(await readFile(join(folder, 'to'), 'utf8')).toBe('first ')
})

test('a folder is refused that has more than 100,000 names', async () => {
  const names = Buffer.from(Array.from({ length: 100_001 }, (_, index) => `f${String(index)}/`).join(''))
  await expect(
    hostile(() => [names])['guest.readdir']!({ vm: 'made', path: '/f' }, looseTask('guest.readdir')),
  ).rejects.toMatchObject({ code: 'GUEST_FILE_ERROR', errno: 'EFBIG' })
})

test('set-user-ID bits of a guest are not taken over', async () => {
  const [program, folderOfAll] = [entry('file', 'program', { mode: 0o4755 }), entry('directory', 'd', { mode: 0o7777 })]
  await copyOut(folderOf(program, folderOfAll))
  expect((await stat(join(folder, 'to/program'))).mode & 0o7777).toBe(0o755)
  expect((await stat(join(folder, 'to/d'))).mode & 0o7777).toBe(0o777)
  await copyOut(() => [Buffer.from('file 1 4711 0\nx')], join(folder, 'file'))
  expect((await stat(join(folder, 'file'))).mode & 0o7777).toBe(0o711)
})
