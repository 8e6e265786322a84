import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'

/** What is remembered of a file, so that it shows when somebody has written it anew. */
export const fileStampSchema = v.strictObject({
  sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** When its content was changed last, in nanoseconds since 1970: more digits than a number has. */
  changedNs: v.pipe(v.string(), v.regex(/^-?\d{1,20}$/)),
})

export type FileStamp = Readonly<v.InferOutput<typeof fileStampSchema>>

/**
 * The stamp of a file that is there, not empty and readable.
 *
 * @param path the parameter that names it, for the error
 * @param driver the name that the error gives for the host
 * @param hint what to do where the file can't be used, if that is more than to name another
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
