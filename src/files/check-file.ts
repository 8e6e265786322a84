import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { InvalidArgumentError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'

/**
 * The size of a file that is there, not empty and readable.
 *
 * @param path the parameter that names it, for the error
 * @param driver the name that the error gives for the host
 */
export async function checkFile(file: string, path: string, driver: string): Promise<number> {
  try {
    const stats = await stat(file)
    if (!stats.isFile()) throw wrong(path, `must name a file, and ${file} is not one`)
    if (stats.size === 0) throw wrong(path, `must name a file with content, and ${file} is empty`)
    await access(file, constants.R_OK)
    return stats.size
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error
    const native = nativeErrorOf(driver, error)
    const why = errorCode(error) === 'ENOENT' ? 'is not there' : `can't be read (${native.message})`
    throw new InvalidArgumentError({
      path,
      reason: `${path} must name a readable file, and ${file} ${why}`,
      cause: error,
      native,
    })
  }
}

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
