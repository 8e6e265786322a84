import { isUtf8 } from 'node:buffer'
import { constants, type Stats } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { posix } from 'node:path'
import { errnoError } from '../errors/errno.js'
import { nativeErrorOf } from '../errors/native.js'
import { InvalidArgumentError } from '../errors.js'
import { tarHeader, tarPadding, type TarEntry } from './tar-header.js'

/** The size of the reads, and of the pieces of an archive. */
const pieceBytes = 256 * 1024

export interface PackOptions {
  /** The path of the folder in the archive. */
  readonly as: string
  /** The driver's name, for errors. */
  readonly driver: string
  /** Called with the number of bytes of content that are packed so far. */
  readonly onPacked: (bytes: number) => void
}

/**
 * The number of bytes in the files of a folder, which the parameter `from` names.
 *
 * @throws InvalidArgumentError for a device, a pipe, a socket, or a name that is not UTF-8
 */
export async function measureFolder(from: string, driver: string): Promise<number> {
  let bytes = 0
  const links = new Set<string>()
  for await (const { stats, at } of walk(from, driver)) {
    if (stats.isFile() && (stats.nlink === 1 || !links.has(identity(stats)))) bytes += stats.size
    if (stats.isFile() && stats.nlink > 1) links.add(identity(stats))
    if (stats.isFile() || stats.isDirectory() || stats.isSymbolicLink()) continue
    throw new InvalidArgumentError({
      path: 'from',
      reason: `from has ${at}, which is no file, folder or link`,
      hint: 'Leave devices, pipes and sockets out of what is copied.',
    })
  }
  return bytes
}

/** What was packed. */
export interface Packed {
  /** The number of entries. */
  readonly count: number
  /** The number of line feeds in their paths. */
  readonly lineFeeds: number
  /**
   * Links, and the folders with links in them, with their times: the tar of busybox makes links at its end, gives symbolic links no
   * times, and so changes those of their folders.
   */
  readonly times: readonly Pick<TarEntry, 'path' | 'mtime'>[]
}

/**
 * A folder as an archive, without its end. Links are packed as links. Each folder stands before what is in it, so that it is there, and
 * once more after that, with its own permissions and times: busybox would change the times again.
 *
 * @throws InvalidArgumentError if something vanishes or changes while it is read
 */
export async function* packFolder(from: string, options: PackOptions): AsyncGenerator<Buffer, Packed> {
  let held: Buffer[] = []
  let size = 0
  let count = 0
  let lineFeeds = 0
  const times: Packed['times'][number][] = []
  for await (const { bytes, path, late } of entries(from, options)) {
    if (path !== undefined) {
      count += 1
      lineFeeds += path.split('\n').length - 1
    }
    if (late !== undefined) times.push(late)
    held.push(bytes)
    size += bytes.length
    if (size < pieceBytes) continue
    yield Buffer.concat(held)
    held = []
    size = 0
  }
  yield Buffer.concat(held)
  return { count, lineFeeds, times }
}

/** A part of an archive. */
interface Part {
  readonly bytes: Buffer
  /** Of the first part of an entry. */
  readonly path?: string | undefined
  readonly late?: Packed['times'][number] | undefined
}

async function* entries(from: string, { as, driver, onPacked }: PackOptions): AsyncGenerator<Part> {
  const links = new Map<string, string>()
  const foldersOfLinks = new Set<string>()
  let packed = 0
  for await (const { at, path: below, stats, isLeft } of walk(from, driver)) {
    const path = below === '' ? as : `${as}/${below}`
    const entry = { path, mode: stats.mode & 0o777, mtime: Math.floor(stats.mtimeMs / 1000), size: 0 }
    const earlier = stats.isFile() && stats.nlink > 1 ? links.get(identity(stats)) : undefined
    if (stats.isDirectory()) {
      const mode = isLeft ? entry.mode : entry.mode | 0o700
      const late = isLeft && foldersOfLinks.delete(path) ? entry : undefined
      yield { bytes: tarHeader({ ...entry, type: 'directory', mode }), path, late }
    } else if (stats.isSymbolicLink()) {
      const target = await local(readlink(at), driver)
      foldersOfLinks.add(posix.dirname(path))
      yield { bytes: tarHeader({ ...entry, type: 'symlink', target }), path, late: entry }
    } else if (earlier !== undefined) {
      foldersOfLinks.add(posix.dirname(path))
      yield { bytes: tarHeader({ ...entry, type: 'link', target: earlier }), path }
    } else {
      if (stats.nlink > 1) links.set(identity(stats), path)
      for await (const part of fileEntry(at, entry, driver)) {
        if (part.isContent) packed += part.bytes.length
        onPacked(packed)
        yield part
      }
    }
  }
}

/** The header, the content and the padding of a file. What is in its place since the folder was read is not opened, or refused. */
async function* fileEntry(
  at: string,
  entry: Omit<TarEntry, 'type'>,
  driver: string,
): AsyncGenerator<Part & { readonly isContent: boolean }> {
  const file = await local(open(at, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK), driver)
  try {
    const before = await file.stat()
    if (!before.isFile()) throw changed(at)
    yield { bytes: tarHeader({ ...entry, type: 'file', size: before.size }), path: entry.path, isContent: false }
    for (let done = 0; done < before.size;) {
      const length = Math.min(pieceBytes, before.size - done)
      const { bytesRead, buffer } = await local(file.read(Buffer.allocUnsafe(length), 0, length, done), driver)
      if (bytesRead === 0) throw changed(at)
      done += bytesRead
      yield { bytes: buffer.subarray(0, bytesRead), isContent: true }
    }
    const after = await file.stat()
    if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw changed(at)
    yield { bytes: Buffer.alloc(tarPadding(before.size)), isContent: false }
  } finally {
    await file.close()
  }
}

interface Found {
  readonly at: string
  /** Below the folder; empty for the folder itself. */
  readonly path: string
  readonly stats: Stats
  /** Of a folder: false before all that is in it, true after. */
  readonly isLeft: boolean
}

/** All that is in a folder. A link is not followed, but for the folder itself. */
async function* walk(root: string, driver: string): AsyncGenerator<Found> {
  const left: { path: string; stats?: Stats }[] = [{ path: '' }]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { path, stats: known } = next
    const at = path === '' ? `${root}/.` : `${root}/${path}`
    if (known !== undefined) {
      yield { at, path, stats: known, isLeft: true }
      continue
    }
    const stats = await local(lstat(at), driver)
    yield { at, path, stats, isLeft: false }
    if (!stats.isDirectory()) continue
    left.push({ path, stats })
    for (const name of await local(readdir(at, { encoding: 'buffer' }), driver)) {
      if (!isUtf8(name)) {
        throw new InvalidArgumentError({
          path: 'from',
          reason: `from has ${at}/${name.toString()}, whose name is not UTF-8`,
        })
      }
      left.push({ path: path === '' ? name.toString() : `${path}/${name.toString()}` })
    }
  }
}

const identity = ({ dev, ino }: Stats): string => `${dev}:${ino}`

const changed = (at: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'from',
    reason: `from has ${at}, which was changed while it was copied`,
    hint: 'Copy it when nothing writes to it.',
  })

const local = <T>(step: Promise<T>, driver: string): Promise<T> =>
  step.catch((cause: unknown) => {
    const native = nativeErrorOf(driver, cause)
    throw errnoError(cause, native) ?? new InvalidArgumentError({ path: 'from', reason: native.message, native, cause })
  })
