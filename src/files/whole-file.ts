import { randomUUID } from 'node:crypto'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoError } from '../errors/errno.js'
import { nativeErrorOf } from '../errors/native.js'
import { InvalidArgumentError } from '../errors.js'

/**
 * Makes a file that only its owner may read, or replaces one, in one step: where `write` rejects, nothing has changed.
 *
 * @param to the parameter of that name
 * @param driver the name that errors give for the host
 */
export async function writeWholeFile(
  to: string,
  driver: string,
  write: (output: FileHandle) => Promise<void>,
): Promise<void> {
  const explained = (cause: unknown): unknown => {
    const native = nativeErrorOf(driver, cause)
    return errnoError(cause, native) ?? new InvalidArgumentError({ path: 'to', reason: native.message, native, cause })
  }
  const draft = join(dirname(to), `.awaitvm-${randomUUID()}`)
  const output = await open(draft, 'wx', 0o600).catch((error: unknown) => {
    throw explained(error)
  })
  try {
    try {
      await write(output)
    } finally {
      await output.close()
    }
    await rename(draft, to).catch((error: unknown) => {
      throw explained(error)
    })
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}
