import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { InvalidArgumentError } from '../errors.js'

/** An open file, with what is known of it. */
export interface Source {
  readonly file: FileHandle
  readonly size: number
  readonly mode: number
  readonly mtime: Date
}

/**
 * Opens the file that the parameter `from` names. It must be a regular file; it may be empty. Opens without blocking: a pipe
 * would wait for a writer.
 */
export async function openSource(from: string): Promise<Source> {
  const file = await open(from, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new InvalidArgumentError({ path: 'from', reason: `from is ${from}, which can't be read`, cause })
  })
  try {
    const { size, mode, mtime, ...stats } = await file.stat().then((found) => ({
      size: found.size,
      mode: found.mode & 0o777,
      mtime: found.mtime,
      isFile: found.isFile(),
    }))
    if (stats.isFile) return { file, size, mode, mtime }
    throw new InvalidArgumentError({ path: 'from', reason: `from is ${from}, which is no regular file` })
  } catch (error) {
    await file.close()
    throw error
  }
}
