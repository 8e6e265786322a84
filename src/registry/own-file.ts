import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { errorCode } from '../errors/native.js'

/*
 * Opens every file in a directory of VMs. A folder may come from another machine, and another user may have replaced any of its
 * files by a link, a FIFO or a file of terabytes.
 */

/** Error for a file or folder that awaitvm would not have created like that. The message says why, without the path. */
export class NotOwnError extends Error {
  readonly path: string
  /** Whether it belongs to another user. */
  readonly isOfAnotherUser: boolean

  constructor(path: string, message: string, isOfAnotherUser = false) {
    super(message)
    this.name = 'NotOwnError'
    this.path = path
    this.isOfAnotherUser = isOfAnotherUser
  }
}

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

export interface OpenOwnOptions {
  /** Flags of open(2); read-only if absent. */
  readonly flags?: number | undefined
  /** Whether other VMs may share the file. Any other file with a second hard link may be another user's. */
  readonly isShared?: boolean | undefined
}

/** Opens a regular file of this user. Follows no link and does not block on a FIFO. Only this user can read a new file. */
export function openOwnFile(path: string, options: OpenOwnOptions = {}): number {
  return openChecked(path, options).file
}

/** Asynchronous `openOwnFile`, for large files. */
export async function openOwn(path: string, options: OpenOwnOptions = {}): Promise<FileHandle> {
  const handle = await open(path, flagsOf(options), 0o600).catch((error: unknown) => {
    throw explained(path, error)
  })
  try {
    check(path, await handle.stat(), options)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Reads a file of at most `maxBytes`. It is synchronous: a file of some KB on a local disk takes about 20 µs, and the
 * asynchronous calls, each of which changes threads, take ten times as long.
 */
export function readOwnFile(path: string, maxBytes: number): string {
  const { file, size } = openChecked(path, {})
  try {
    requireSize(path, size, maxBytes)
    const buffer = Buffer.allocUnsafe(size)
    let done = 0
    for (let bytes = -1; bytes !== 0 && done < size; done += bytes) {
      bytes = readSync(file, buffer, done, size - done, done)
    }
    return buffer.toString('utf8', 0, done)
  } finally {
    closeSync(file)
  }
}

/** One read takes at most 2 GiB, and those of `readFile` take 512 KiB. */
const pieceBytes = 2 ** 22
/** How many pieces are read at once: a read is a copy from the system's cache, which takes a processor. Node has four threads for all files. */
const readers = 2

/** Reads a large file of at most `maxBytes`. */
export async function readOwnBytes(
  path: string,
  maxBytes: number,
  allocate: (size: number) => Buffer = (size) => Buffer.allocUnsafe(size),
): Promise<Buffer> {
  const file = await openOwn(path)
  try {
    const { size } = await file.stat()
    requireSize(path, size, maxBytes)
    const bytes = allocate(size)
    let next = 0
    // Less than the size if the file was cut off since.
    let end = size
    const readPieces = async (): Promise<void> => {
      while (next < end) {
        const start = next
        next = Math.min(start + pieceBytes, size)
        const piece = bytes.subarray(start, next)
        const done = await fill(piece, file, start)
        if (done < piece.byteLength) end = Math.min(end, start + done)
      }
    }
    await Promise.all(Array.from({ length: readers }, readPieces))
    return bytes.subarray(0, end)
  } finally {
    await file.close()
  }
}

/** Reads from a position on, and returns the number of bytes that were there. */
async function fill(bytes: Buffer, file: FileHandle, position: number): Promise<number> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** Throws unless the path is a folder of this user; a link to a folder is refused. */
export function requireOwnFolder(path: string): Stats {
  const stats = lstatSync(path)
  if (!stats.isDirectory()) throw new NotOwnError(path, `it is ${kindOf(stats)}, and is to be a folder`)
  requireOwner(path, stats)
  return stats
}

/** Throws if an entry of a folder belongs to another user, or is a hard link to a file elsewhere. */
export function requireOwnEntry(path: string, { isShared = false }: Pick<OpenOwnOptions, 'isShared'>): void {
  const stats = lstatSync(path)
  requireOwner(path, stats)
  requireOneName(path, stats, isShared)
}

/** Identifies a folder, also after another one was put at its path. */
export type FolderIdentity = Pick<Stats, 'dev' | 'ino'>

export function isSameFolder(path: string, { dev, ino }: FolderIdentity): boolean {
  const present = lstatSync(path)
  return present.dev === dev && present.ino === ino
}

function openChecked(path: string, options: OpenOwnOptions): { readonly file: number; readonly size: number } {
  const file = tryToOpen(path, flagsOf(options))
  try {
    const stats = fstatSync(file)
    check(path, stats, options)
    return { file, size: stats.size }
  } catch (error) {
    closeSync(file)
    throw error
  }
}

function tryToOpen(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o600)
  } catch (error) {
    throw explained(path, error)
  }
}

const flagsOf = ({ flags = O_RDONLY }: OpenOwnOptions): number => flags | O_NOFOLLOW | O_NONBLOCK

/** Explains the errors of open(2) for what is not a regular file. */
function explained(path: string, error: unknown): unknown {
  switch (errorCode(error)) {
    case 'ELOOP':
      return new NotOwnError(path, 'it is a link, and links are not followed')
    case 'EISDIR':
      return new NotOwnError(path, 'it is a folder, and is to be a file')
    case 'ENXIO':
      return new NotOwnError(path, 'it is no regular file')
    default:
      return error
  }
}

function check(path: string, stats: Stats, { isShared = false }: OpenOwnOptions): void {
  if (!stats.isFile()) throw new NotOwnError(path, `it is ${kindOf(stats)}, and is to be a file`)
  requireOwner(path, stats)
  requireOneName(path, stats, isShared)
}

function requireOneName(path: string, { nlink }: Stats, isShared: boolean): void {
  if (nlink <= 1 || isShared) return
  throw new NotOwnError(path, 'it has another name elsewhere, under which it may be written to')
}

/** Windows has no user ids. */
export function requireOwner(path: string, { uid }: Stats): void {
  const self = process.geteuid?.()
  if (self === undefined || uid === self) return
  throw new NotOwnError(
    path,
    `it belongs to the user ${String(uid)}, and this process is of the user ${String(self)}`,
    true,
  )
}

function requireSize(path: string, size: number, maxBytes: number): void {
  if (size <= maxBytes) return
  throw new NotOwnError(path, `it has ${String(size)} bytes, and may have ${String(maxBytes)}`)
}

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'a link'
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return stats.isFile() ? 'a file' : 'a device'
}
