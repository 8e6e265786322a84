import { randomUUID } from 'node:crypto'
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { InsufficientResourcesError, InvalidArgumentError } from '../../errors.js'
import { errorCode, nativeErrorOf } from '../../errors/native.js'

/** Guests on paper keep their files in memory. */
const maxFileMiB = 256
const mebibyte = 2 ** 20

/** The content of a file of this machine that goes into a guest. */
export async function readLocalFile(path: string): Promise<Uint8Array> {
  try {
    const { size, ...stats } = await stat(path).then((found) => ({ size: found.size, isFile: found.isFile() }))
    if (!stats.isFile) throw new InvalidArgumentError({ path: 'from', reason: `${path} is not a file` })
    if (size > maxFileMiB * mebibyte) {
      throw new InsufficientResourcesError({
        reason: `${path} has ${String(size)} bytes, and a simulated guest takes files of up to ${String(maxFileMiB)} MiB`,
      })
    }
    return await readFile(path)
  } catch (error) {
    throw fileError(error, 'from', path)
  }
}

/** Writes a file of this machine, whole or not at all. */
export async function writeLocalFile(path: string, content: Uint8Array): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`
  try {
    try {
      await writeFile(unfinished, content, { flag: 'wx' })
      await rename(unfinished, path)
    } catch (error) {
      await rm(unfinished, { force: true })
      throw error
    }
  } catch (error) {
    throw fileError(error, 'to', path)
  }
}

/** A path that can't be used is the caller's mistake; anything else, such as a full disk, is passed on. */
function fileError(error: unknown, path: 'from' | 'to', file: string): unknown {
  const native = nativeErrorOf('simulated', error)
  const options = { reason: native.message, cause: error, native }
  switch (errorCode(error)) {
    case 'ENOENT':
      return new InvalidArgumentError({ ...options, path, reason: `${file} is not there` })
    case 'EACCES':
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'EROFS':
      return new InvalidArgumentError({ ...options, path, reason: `${file} can't be used (${native.message})` })
    case 'ENOSPC':
    case 'EDQUOT':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the disk, and try again.' })
    default:
      return error
  }
}
