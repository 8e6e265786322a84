import type { Stats } from 'node:fs'
import { link, lstat, open, rm, type FileHandle } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errnoError } from '../errors/errno.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { AlreadyExistsError, InvalidArgumentError, VmError } from '../errors.js'
import { syncFolder } from '../registry/replace-file.js'
import { draftBeside } from './draft-beside.js'

/** A file that is being written under a temporary name. */
export interface NewFile {
  readonly file: FileHandle
  /** Where it is until it is complete. */
  readonly draft: string
}

/** Errors of link(2) in a file system without hard links. */
const noLinks: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/**
 * Creates a file that only its owner can read, and flushes it to disk. It has its name only once it is complete: if it rejects,
 * or the process is killed, no file has that name. It never replaces another file, not even one that was made during `write`,
 * and follows no link.
 *
 * @param path the parameter of that name
 * @param driver the driver's name, for errors
 */
export async function writeNewFile(
  path: string,
  driver: string,
  write: (output: NewFile) => Promise<void>,
): Promise<void> {
  // Without a slash at its end.
  const target = resolve(path)
  const onDisk = <T>(step: Promise<T>): Promise<T> =>
    step.catch((error: unknown) => {
      throw explained(error, target, driver)
    })
  const folder = dirname(target)
  await onDisk(requireNothingAt(target))
  // A folder that can't be flushed, such as one that can't be read, is refused before all the work.
  await onDisk(syncFolder(folder))
  const draft = draftBeside(target)
  const file = await onDisk(open(draft, 'wx', 0o600))
  let made: Identity
  try {
    made = await file.stat()
    try {
      await onDisk(requireLinks(draft))
      await write({ file, draft })
      await onDisk(file.sync())
    } finally {
      await file.close()
    }
    // Unlike a rename, it never replaces a file.
    await onDisk(link(draft, target))
  } finally {
    await rm(draft, { force: true })
  }
  await onDisk(syncFolder(folder)).catch(async (error: unknown) => {
    await removeIfSame(target, made)
    throw error
  })
}

type Identity = Pick<Stats, 'dev' | 'ino'>

/** Removes a file, unless another one has taken its place. */
async function removeIfSame(path: string, { dev, ino }: Identity): Promise<void> {
  try {
    const now = await lstat(path)
    if (now.dev === dev && now.ino === ino) await rm(path, { force: true })
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}

async function requireNothingAt(path: string): Promise<void> {
  try {
    await lstat(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  throw fileExists(path)
}

/** Throws if the file could not get its name in the end, before all the work. */
async function requireLinks(draft: string): Promise<void> {
  const second = `${draft}-2`
  try {
    await link(draft, second)
  } catch (cause) {
    if (!noLinks.has(errorCode(cause))) throw cause
    throw new InvalidArgumentError({
      path: 'path',
      reason: `path is in ${dirname(draft)}, whose file system has no hard links, by which a file gets its name without replacing another`,
      hint: 'Name a file in another file system, and move it when it is complete.',
      cause,
    })
  }
  await rm(second)
}

function explained(error: unknown, path: string, driver: string): VmError {
  if (error instanceof VmError) return error
  const native = nativeErrorOf(driver, error)
  switch (errorCode(error)) {
    case 'EEXIST':
      return fileExists(path)
    case 'ENOENT':
    case 'ENOTDIR':
      return new InvalidArgumentError({
        path: 'path',
        reason: `path is in ${dirname(path)}, which is no folder`,
        hint: 'Make the folder first.',
        native,
        cause: error,
      })
    default:
      return (
        errnoError(error, native) ??
        new InvalidArgumentError({ path: 'path', reason: native.message, native, cause: error })
      )
  }
}

const fileExists = (path: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `there is already something at ${path}, and no file is replaced`,
    hint: 'Name another file, or remove that one.',
  })
