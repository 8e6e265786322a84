import type { Stats } from 'node:fs'
import { lstat, open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoError } from '../errors/errno.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { InsufficientResourcesError, InvalidArgumentError } from '../errors.js'
import { draftBeside } from './draft-beside.js'
import { freeBytes } from './free-bytes.js'

/** A file that is being written. */
export interface WholeFile {
  readonly file: FileHandle
  /** Whether it replaces no other, whose permissions it would have. */
  readonly isNew: boolean
  /** Throws if the disk does not have room for so many bytes. */
  readonly requireRoom: (bytes: number) => Promise<void>
}

/**
 * Creates a file that only its owner can read, or replaces one and keeps its owner and permissions. It is atomic: if `write`
 * rejects, nothing has changed. The target of a link is replaced in its own folder. Anything but a regular file is refused.
 *
 * @param to the parameter of that name
 * @param driver the driver's name, for errors
 */
export async function writeWholeFile(
  to: string,
  driver: string,
  write: (output: WholeFile) => Promise<void>,
): Promise<void> {
  const explained = (cause: unknown): unknown => {
    if (cause instanceof InvalidArgumentError) return cause
    const native = nativeErrorOf(driver, cause)
    return errnoError(cause, native) ?? new InvalidArgumentError({ path: 'to', reason: native.message, native, cause })
  }
  const onDisk = async <T>(step: Promise<T>): Promise<T> =>
    step.catch((error: unknown) => {
      throw explained(error)
    })
  const { target, stats } = await onDisk(targetOf(to))
  const folder = dirname(target)
  const draft = draftBeside(target)
  const file = await onDisk(open(draft, 'wx', 0o600))
  try {
    try {
      if (stats !== undefined) await onDisk(resemble(file, stats))
      await write({ file, isNew: stats === undefined, requireRoom: (bytes) => requireRoom(folder, bytes) })
    } finally {
      await file.close()
    }
    await onDisk(rename(draft, target))
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** The file to replace: the target if it is a link. A new file has no `stats`. */
async function targetOf(to: string): Promise<{ readonly target: string; readonly stats?: Stats }> {
  try {
    await lstat(to)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { target: to }
    throw error
  }
  const target = await realpath(to)
  const stats = await stat(target)
  if (stats.isFile()) return { target, stats }
  throw new InvalidArgumentError({ path: 'to', reason: `to is ${to}, which is no regular file` })
}

/** Gives a file the owner and permissions of another. The owner comes first: chown clears the set-user-ID bit. */
async function resemble(file: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const own = await file.stat()
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid)
  await file.chmod(mode & 0o7777)
}

async function requireRoom(folder: string, bytes: number): Promise<void> {
  const free = await freeBytes(folder)
  if (bytes <= free) return
  throw new InsufficientResourcesError({
    reason: `the file has ${String(bytes)} bytes, and the disk of ${folder} has room for ${String(free)}`,
    hint: 'Make room on the disk, and try again.',
  })
}
