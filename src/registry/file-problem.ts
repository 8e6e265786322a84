import { PermissionDeniedError, ProtocolError, type VmError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { NotOwnError } from './own-file.js'
import { FormatError, isNewer } from './written-json.js'

/** The errors of the system that say something of the file, and not of this process. */
const codes: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'EBADMSG', 'EUCLEAN'])

/**
 * What is wrong with a file of a directory of VMs, and the way out, where the error says that; any other is thrown on: that a
 * process has no descriptor left says nothing of a file.
 */
export function problemWith(
  path: string,
  error: unknown,
  { driver, hint }: { readonly driver: string; readonly hint: string },
): VmError {
  const isOfFile = error instanceof NotOwnError || error instanceof FormatError
  if (!isOfFile && !codes.has(errorCode(error) ?? '')) throw error
  return damagedFile(path, error, { driver, hint })
}

/** A file that is not what it should be. */
export function damagedFile(
  path: string,
  cause: unknown,
  { driver, hint }: { readonly driver: string; readonly hint: string },
): VmError {
  const native = nativeErrorOf(driver, cause)
  const file = cause instanceof NotOwnError ? cause.path : path
  if (isRefusal(cause)) {
    return new PermissionDeniedError({ reason: `${file} can't be used: ${native.message}`, hint, cause, native })
  }
  const problem = isNewer(cause)
    ? 'was made by a newer awaitvm'
    : errorCode(cause) === 'ENOENT'
      ? 'is missing'
      : 'is damaged'
  return new ProtocolError({ reason: `the file ${file} ${problem}: ${native.message}`, hint, cause, native })
}

/** What to do about a file that can't be read: the beginning of a sentence. */
export const remedyFor = (error: unknown): string => (isNewer(error) ? 'Use a newer awaitvm' : 'Restore it')

const isRefusal = (cause: unknown): boolean =>
  cause instanceof NotOwnError ? cause.isOfAnotherUser : ['EACCES', 'EPERM'].includes(errorCode(cause) ?? '')
