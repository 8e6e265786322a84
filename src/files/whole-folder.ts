import { lstat, mkdir, readdir, realpath, rename, rm } from 'node:fs/promises'
import { errnoError } from '../errors/errno.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { InvalidArgumentError } from '../errors.js'
import { draftBeside } from './draft-beside.js'

/**
 * Creates a folder, or replaces an empty one. It is atomic: if `write` rejects, nothing has changed.
 *
 * @param to the parameter of that name
 * @param driver the driver's name, for errors
 * @param write fills the folder that it is given, which only its owner can enter
 */
export async function writeWholeFolder(
  to: string,
  driver: string,
  write: (draft: string) => Promise<void>,
): Promise<void> {
  const onDisk = <T>(step: Promise<T>): Promise<T> =>
    step.catch((cause: unknown) => {
      if (cause instanceof InvalidArgumentError) throw cause
      const native = nativeErrorOf(driver, cause)
      throw errnoError(cause, native) ?? new InvalidArgumentError({ path: 'to', reason: native.message, native, cause })
    })
  const target = await onDisk(targetOf(to))
  const draft = draftBeside(target)
  await onDisk(mkdir(draft, 0o700))
  try {
    await write(draft)
    await onDisk(rename(draft, target))
  } catch (error) {
    await rm(draft, { recursive: true, force: true }).catch((failure: unknown) => {
      process.emitWarning(`the unfinished folder ${draft} is left: ${String(failure)}`, 'AwaitvmWarning')
    })
    throw error
  }
}

/** The folder to replace: what a link leads to. */
async function targetOf(to: string): Promise<string> {
  try {
    await lstat(to)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return to.replace(/(?<=.)\/+$/, '')
    throw error
  }
  const target = await realpath(to)
  if (!(await lstat(target)).isDirectory()) {
    throw new InvalidArgumentError({ path: 'to', reason: `to is ${to}, which is no folder, as what is copied is` })
  }
  if ((await readdir(target)).length === 0) return target
  throw new InvalidArgumentError({
    path: 'to',
    reason: `to is ${to}, a folder that has something in it, and copies of folders are not merged`,
    hint: 'Name a folder that is not there yet, or remove that one first.',
  })
}
