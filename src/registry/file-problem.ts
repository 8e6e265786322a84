import { PermissionDeniedError, ProtocolError, type VmError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { NotOwnError } from './own-file.js'
import { FormatError, isNewer } from './written-json.js'

/** System errors that concern the file, not this process. */
const codes: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EIO', 'EBADMSG', 'EUCLEAN'])

/**
 * Turns an error that concerns a file of a directory of VMs into one that names the file and what to do. Rethrows any other
 * error: a lack of file descriptors, for example, concerns the process.
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

/** Error for a file that is missing, damaged or written by a newer awaitvm. */
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

/** What to do about a file that can't be read; the beginning of a sentence. */
export const remedyFor = (error: unknown): string => (isNewer(error) ? 'Use a newer awaitvm' : 'Restore it')

const isRefusal = (cause: unknown): boolean =>
  cause instanceof NotOwnError ? cause.isOfAnotherUser : ['EACCES', 'EPERM'].includes(errorCode(cause) ?? '')
