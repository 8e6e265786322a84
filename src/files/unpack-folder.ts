import { constants } from 'node:fs'
import { chmod, link, lstat, lutimes, mkdir, open, readlink, symlink, utimes } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { errorCode } from '../errors/native.js'
import { InsufficientResourcesError } from '../errors.js'
import type { TarEntry } from './tar-header.js'
import { freeBytes } from './free-bytes.js'
import { TarContentError, TarError, type TarReader } from './tar-reader.js'

/** How many entries are taken. */
const maxEntries = 1_000_000
/** PATH_MAX and NAME_MAX of Linux, which every archive of a real folder keeps to. */
const maxPath = 4096
const maxName = 255
/** How many bytes the paths of all folders may have, which are kept until the end. */
const maxFolderPaths = 64 * 2 ** 20

export interface UnpackOptions {
  /** How many bytes of content are taken. */
  readonly maxBytes: number
  /** Called with the number of bytes that are written so far. */
  readonly onWritten: (bytes: number) => void
}

/**
 * Unpacks an archive into an empty folder of this process's own. The archive is not trusted: nothing is written outside of the
 * folder, since each entry must lie in a folder that an entry before it has made, and never takes the name of another. Of the
 * permissions, only those to read, write and execute are taken.
 *
 * @returns the number of bytes of content
 * @throws TarError, TarContentError, InsufficientResourcesError, and errors of the file system
 */
export async function unpackFolder(tar: TarReader, folder: string, options: UnpackOptions): Promise<number> {
  return await new Unpacking(tar, folder, options).run()
}

class Unpacking {
  readonly #tar: TarReader
  readonly #root: string
  readonly #options: UnpackOptions
  /** By path; the root's is empty. A folder gets its permissions and times once all is in it. */
  readonly #folders = new Map<string, Pick<TarEntry, 'mode' | 'mtime'> | undefined>([['', undefined]])
  #folderPaths = 0
  #written = 0

  constructor(tar: TarReader, root: string, options: UnpackOptions) {
    this.#tar = tar
    this.#root = root
    this.#options = options
  }

  async run(): Promise<number> {
    let entries = 0
    for (let entry = await this.#tar.next(); entry !== undefined; entry = await this.#tar.next()) {
      entries += 1
      if (entries > maxEntries) throw new TarContentError(`it has more than ${maxEntries} files`)
      await this.#make(entry, safePath(entry.path))
    }
    await this.#tar.finish()
    for (const [path, told] of [...this.#folders].reverse()) {
      if (told === undefined) continue
      await utimes(this.#at(path), told.mtime, told.mtime)
      await chmod(this.#at(path), told.mode & 0o777)
    }
    return this.#written
  }

  async #make(entry: TarEntry, path: string): Promise<void> {
    const { type, mode, mtime } = entry
    if (path === '') {
      if (type !== 'directory') throw new TarError('its archive has a file in place of the folder')
      this.#folders.set('', { mode, mtime })
      return
    }
    const parent = posix.dirname(path)
    if (!this.#folders.has(parent === '.' ? '' : parent)) {
      throw new TarError(`its archive has ${JSON.stringify(path)} without its folder`)
    }
    try {
      await this.#makeNew(entry, path)
    } catch (cause) {
      if (errorCode(cause) !== 'EEXIST') throw cause
      throw new TarError(`its archive has ${JSON.stringify(path)} twice`, { cause })
    }
  }

  async #makeNew({ type, mode, mtime, size, target = '' }: TarEntry, path: string): Promise<void> {
    const at = this.#at(path)
    switch (type) {
      case 'directory':
        this.#folderPaths += Buffer.byteLength(path)
        if (this.#folderPaths > maxFolderPaths) throw new TarContentError('it has too many folders')
        await mkdir(at, 0o700)
        this.#folders.set(path, { mode, mtime })
        return
      case 'symlink':
        await symlink(target, at)
        await lutimes(at, mtime, mtime)
        return
      case 'link':
        await this.#link(target, at)
        return
      case 'file':
        await this.#write(at, size, { mode, mtime })
    }
  }

  /** Makes a hard link to an earlier file or link of the archive. */
  async #link(target: string, at: string): Promise<void> {
    const path = safePath(target)
    const parent = posix.dirname(path)
    const isInside = path !== '' && this.#folders.has(parent === '.' ? '' : parent)
    const earlier = isInside ? await lstat(this.#at(path)).catch(() => undefined) : undefined
    if (earlier?.isFile() === true) await link(this.#at(path), at)
    else if (earlier?.isSymbolicLink() === true) await symlink(await readlink(this.#at(path)), at)
    else throw new TarError(`its archive has a link to ${JSON.stringify(target)}, which is no file in it`)
  }

  async #write(at: string, size: number, { mode, mtime }: Pick<TarEntry, 'mode' | 'mtime'>): Promise<void> {
    if (this.#written + size > this.#options.maxBytes) {
      throw new TarContentError(`it has more than the ${this.#options.maxBytes} bytes that it was told to have`)
    }
    if (size > 0) await this.#requireRoom(size)
    const file = await open(at, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    try {
      for await (const piece of this.#tar.content()) {
        await file.writeFile(piece)
        this.#written += piece.length
        this.#options.onWritten(this.#written)
      }
      await file.utimes(mtime, mtime)
      await file.chmod(mode & 0o777)
    } finally {
      await file.close()
    }
  }

  async #requireRoom(bytes: number): Promise<void> {
    const free = await freeBytes(this.#root)
    if (bytes <= free) return
    throw new InsufficientResourcesError({
      reason: `a file of it has ${bytes} bytes, and the disk of ${this.#root} has room for ${free}`,
      hint: 'Make room on the disk, and try again.',
    })
  }

  #at(path: string): string {
    return join(this.#root, path)
  }
}

/** The path without the dot and slash before it and the slashes after it; empty for the folder itself. */
function safePath(path: string): string {
  const plain = path.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '')
  if (plain === '' && path.startsWith('/')) throw escaping(path)
  if (plain === '' || plain === '.') return ''
  const names = plain.split('/')
  if (names.some((name) => name === '' || name === '.' || name === '..')) throw escaping(path)
  if (Buffer.byteLength(plain) > maxPath || names.some((name) => Buffer.byteLength(name) > maxName)) {
    throw new TarContentError(`it has a path of ${Buffer.byteLength(plain)} bytes`)
  }
  return plain
}

const escaping = (path: string): TarError =>
  new TarError(`its archive has the path ${JSON.stringify(path)}, which is not one below the folder`)
