import { posix } from 'node:path'
import * as v from 'valibot'
import type { DriverInputs } from '../driver/driver.js'
import { ProtocolError } from '../errors.js'
import type { GuestEntry, GuestFileType, GuestStats } from '../model/guest-file.js'
import { ByteReader } from '../files/byte-reader.js'
import { listScript, makeFolderScript, readFileScript, removeScript, renameScript, statScript } from './file-scripts.js'
import { fileError, guestFailure } from './guest-failure.js'
import { guestPath } from './guest-path.js'
import { lost, readScript, requireSuccess, runScript, tryScript, type InGuest } from './run-script.js'

const maxEntries = 100_000
/** The longest answer with so many names, each of which has at most 255 bytes (NAME_MAX), a type and a slash. */
const maxListBytes = (maxEntries + 1) * 257

const sizeSchema = v.pipe(v.string(), v.digits(), v.transform(Number), v.safeInteger())

/** Reads a file, or a part of it. */
export async function readFile(
  guest: InGuest,
  { path, output, start = 0, end }: DriverInputs['guest.readFile'],
): Promise<void> {
  const count = end === undefined ? undefined : Math.max(0, end - start)
  const args = [guestPath(path), String(start), count === undefined ? '' : String(count)]
  await readScript(
    guest,
    path,
    { text: readFileScript, args, isHarmless: true, isBulk: isMuch(count) },
    async (bytes) => {
      const reader = new ByteReader(bytes)
      const size = v.parse(sizeSchema, await reader.readLine(20))
      const expected = Math.min(count ?? Infinity, Math.max(0, size - start))
      let done = 0
      for (;;) {
        const piece = await reader.readSome(Infinity)
        if (piece.length === 0) break
        done += piece.length
        await output(piece)
      }
      if (done < expected) throw lost(guest.way)
    },
  )
}

/** More than 64 KiB, or nobody knows how much. */
export const isMuch = (bytes: number | undefined): boolean => bytes === undefined || bytes > 64 * 1024

const typesByLetter: Readonly<Record<string, GuestFileType>> = { f: 'file', d: 'directory', l: 'symlink', o: 'other' }

/** What is in a folder. */
export async function readdir(guest: InGuest, { path }: DriverInputs['guest.readdir']): Promise<GuestEntry[]> {
  const args = [guestPath(path), String(maxEntries + 1)]
  const script = { text: listScript, args, isHarmless: true }
  const answer = await runScript(guest, path, script, { maxBytes: maxListBytes })
  const items = answer.toString().split('/')
  if (items.pop() !== '') throw lost(guest.way)
  if (items.length > maxEntries) {
    throw fileError('EFBIG', path, `${path} has more than ${maxEntries} entries`)
  }
  return items.map((item) => {
    const type = typesByLetter[item.charAt(0)]
    const name = item.slice(1)
    if (type === undefined || name === '' || name === '.' || name === '..') throw strange(item)
    return { name, type }
  })
}

const numberSchema = v.pipe(v.string(), v.regex(/^-?\d{1,20}(?:\.\d{1,9})?$/), v.transform(Number), v.finite())
const statsSchema = v.tuple([
  v.pipe(
    v.string(),
    v.hexadecimal(),
    v.transform((digits) => Number.parseInt(digits, 16)),
  ),
  sizeSchema,
  sizeSchema,
  sizeSchema,
  numberSchema,
  numberSchema,
  numberSchema,
])

/** The kinds of files in the mode of stat(2). */
const typesByMode: Readonly<Record<number, GuestFileType>> = { 0o10: 'file', 0o04: 'directory', 0o12: 'symlink' }

/** What a guest tells of a file. */
export async function stat(
  guest: InGuest,
  { path, followLinks }: DriverInputs['guest.stat'],
): Promise<GuestStats | undefined> {
  const args = [guestPath(path), followLinks ? '-L' : '']
  const { stdout, ...end } = await tryScript(guest, { text: statScript, args, isHarmless: true })
  if (end.exitCode !== 0) {
    const error = guestFailure(end, { path, operation: guest.operation, driver: guest.way.driver })
    if ('errno' in error && (error.errno === 'ENOENT' || error.errno === 'ENOTDIR')) return undefined
    throw error
  }
  const [line = '', ...rest] = stdout.toString().split('\n')
  const told = v.safeParse(statsSchema, line.split(' '))
  if (!told.success) throw strange(line)
  const [mode, size, uid, gid, mtime, atime, ctime] = told.output
  const type = typesByMode[mode >> 12] ?? 'other'
  return {
    type,
    size,
    mode: mode & 0o7777,
    uid,
    gid,
    mtime: new Date(mtime * 1000),
    atime: new Date(atime * 1000),
    ctime: new Date(ctime * 1000),
    ...(type === 'symlink' && { target: rest.join('\n').replace(/\n$/, '') }),
  }
}

/** Makes a folder. */
export async function mkdir(guest: InGuest, { path, recursive, mode }: DriverInputs['guest.mkdir']): Promise<void> {
  const args = [guestPath(path), mode === undefined ? '' : mode.toString(8), recursive ? '-p' : '']
  await runScript(guest, path, { text: makeFolderScript, args })
}

/** Removes a file or a folder. */
export async function rm(guest: InGuest, { path, recursive, force }: DriverInputs['guest.rm']): Promise<void> {
  if (posix.resolve('/', path) === '/') throw fileError('EINVAL', path, 'the root of the guest is not removed')
  if (/(?:^|\/)\.\.?\/*$/.test(path)) throw fileError('EINVAL', path, `${path} does not name what is removed`)
  const args = [guestPath(path), recursive ? 'recursive' : '', force ? 'force' : '']
  await runScript(guest, path, { text: removeScript, args })
}

/** Renames a file or a folder. */
export async function rename(guest: InGuest, { from, to }: DriverInputs['guest.rename']): Promise<void> {
  const end = await tryScript(guest, { text: renameScript, args: [guestPath(from), guestPath(to)] })
  requireSuccess(guest, end.exitCode === 2 ? to : from, end)
}

const strange = (answer: string): ProtocolError =>
  new ProtocolError({ reason: `the guest answers ${JSON.stringify(answer.slice(0, 100))}` })
