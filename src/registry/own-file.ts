import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { errorCode } from '../errors/native.js'

/*
 * Every file in a directory of VMs is opened here. A folder may come from elsewhere, and another user may have replaced any of its
 * files by a link, a FIFO or a file of terabytes.
 */

/** A file or folder that is not as awaitvm makes them, and is left alone. The message says why, without the path. */
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
  /** Flags of open(2); only reading if absent. */
  readonly flags?: number | undefined
  /** Whether other VMs may have the file, too. Any other file with a second name may be somebody else's. */
  readonly isShared?: boolean | undefined
}

/** Opens a regular file of this user, never a link; a FIFO is not waited for. A new file can be read by nobody else. */
export function openOwnFile(path: string, options: OpenOwnOptions = {}): number {
  return openChecked(path, options).file
}

/** As `openOwnFile`, for what takes longer to read than to open. */
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
 * The content of a file that may have at most so many bytes. What is done to a file of some KB on a local disk takes some 20 µs,
 * and is done at once: handing it to another thread, for each of opening, looking, reading and closing, takes ten times as long.
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

/** The content of a large file, which may have at most so many bytes. */
export async function readOwnBytes(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openOwn(path)
  try {
    requireSize(path, (await file.stat()).size, maxBytes)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

/** Throws where there is no folder of this user at the path: a link to one is none. */
export function requireOwnFolder(path: string): Stats {
  const stats = lstatSync(path)
  if (!stats.isDirectory()) throw new NotOwnError(path, `it is ${kindOf(stats)}, and is to be a folder`)
  requireOwner(path, stats)
  return stats
}

/** Throws where what is in a folder is not this user's, or may be somebody else's file under another name. */
export function requireOwnEntry(path: string, { isShared = false }: Pick<OpenOwnOptions, 'isShared'>): void {
  const stats = lstatSync(path)
  requireOwner(path, stats)
  requireOneName(path, stats, isShared)
}

/** Tells a folder from another one of the same path. */
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

/** What open(2) says of what is no regular file. */
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

/** Windows has no such owners. */
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
