import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'

/** Size and modification time of a file, to detect that it was rewritten. */
export const fileStampSchema = v.strictObject({
  sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Modification time in nanoseconds since 1970; a string, since a number is not precise enough. */
  changedNs: v.pipe(v.string(), v.regex(/^-?\d{1,20}$/)),
})

export type FileStamp = Readonly<v.InferOutput<typeof fileStampSchema>>

/**
 * Returns the stamp of a file. Throws unless it is a readable regular file with content.
 *
 * @param path the parameter with the file, for the error
 * @param driver the driver's name, for the error
 * @param hint what to do if the file can't be used
 */
export async function checkFile(file: string, path: string, driver: string, hint?: string): Promise<FileStamp> {
  const wrong = (what: string): InvalidArgumentError =>
    new InvalidArgumentError({ path, reason: `${path} ${what}`, hint })
  try {
    const stats = await stat(file, { bigint: true })
    if (!stats.isFile()) throw wrong(`must name a file, and ${file} is not one`)
    if (stats.size === 0n) throw wrong(`must name a file with content, and ${file} is empty`)
    await access(file, constants.R_OK)
    return { sizeBytes: Number(stats.size), changedNs: String(stats.mtimeNs) }
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error
    const native = nativeErrorOf(driver, error)
    const why = errorCode(error) === 'ENOENT' ? 'is not there' : `can't be read (${native.message})`
    throw new InvalidArgumentError({
      path,
      reason: `${path} must name a readable file, and ${file} ${why}`,
      hint,
      cause: error,
      native,
    })
  }
}
