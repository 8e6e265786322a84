import {
  GuestFileError,
  HostError,
  InsufficientResourcesError,
  NotSupportedError,
  type NativeError,
  type VmError,
} from '../errors.js'
import type { GuestFileErrno } from '../model/guest-file.js'

/** The exit code of a script that needs a program which the guest lacks, and whose name it has printed. */
const missingProgram = 69

/**
 * What glibc, musl and the shells say for an errno, in lower case. A message ends with it, so that the name of a file in the message is
 * not taken for it.
 */
const endings: Readonly<Record<string, GuestFileErrno>> = {
  'no such file or directory': 'ENOENT',
  'no such file': 'ENOENT',
  'directory nonexistent': 'ENOENT',
  'nonexistent directory': 'ENOENT',
  'permission denied': 'EACCES',
  'operation not permitted': 'EPERM',
  'file exists': 'EEXIST',
  'not a directory': 'ENOTDIR',
  'is a directory': 'EISDIR',
  'directory not empty': 'ENOTEMPTY',
  'too many levels of symbolic links': 'ELOOP',
  'symbolic link loop': 'ELOOP',
  'file name too long': 'ENAMETOOLONG',
  'filename too long': 'ENAMETOOLONG',
  'read-only file system': 'EROFS',
  'text file busy': 'ETXTBSY',
  'device or resource busy': 'EBUSY',
  'resource busy': 'EBUSY',
  'input/output error': 'EIO',
  'i/o error': 'EIO',
  'file too large': 'EFBIG',
  'too many links': 'EMLINK',
  'invalid cross-device link': 'EXDEV',
  'cross-device link': 'EXDEV',
  'invalid argument': 'EINVAL',
  'refusing to remove "." or ".." directory': 'EINVAL',
}

const full = /(?:no space left on device|(?:disk )?quota exceeded)$/i

/** How a script of the SDK has failed. */
export interface ScriptFailure {
  readonly exitCode: number | undefined
  /** The end of its standard error. */
  readonly stderr: string
}

/** What of a failed operation is told in its error. */
export interface FailedAt {
  /** The file in the guest. */
  readonly path: string
  /** The code of the operation. */
  readonly operation: string
  readonly driver: string
}

/** The error for a script that has failed: the last line that it wrote says why, or the last one that is known. */
export function guestFailure({ exitCode, stderr }: ScriptFailure, { path, operation, driver }: FailedAt): VmError {
  const lines = linesOf(stderr)
  const last = lines.at(-1) ?? ''
  const code = exitCode === undefined ? {} : { code: exitCode }
  if (exitCode === missingProgram) {
    return new NotSupportedError({
      capability: operation,
      reason: `its guest has no program ${JSON.stringify(last)}, which this takes`,
      hint: 'Install it in the guest.',
      native: { driver, ...code, message: last },
    })
  }
  // tar says at the end that something has failed, and before that what.
  for (const said of lines.reverse()) {
    const native = { driver, ...code, message: said }
    if (full.test(said)) {
      const hint = 'Make room on the disk of the guest, and try again.'
      return new InsufficientResourcesError({ reason: `the guest says: ${said}`, hint, native })
    }
    const ending = Object.keys(endings).find((text) => said.toLowerCase().endsWith(text))
    const errno = ending === undefined ? undefined : endings[ending]
    if (errno === undefined) continue
    const hint = errno === 'ENOTEMPTY' ? 'Take another name, or remove what is there with vm.guest.rm().' : undefined
    return fileError(errno, path, `the guest says: ${said}`, native, hint)
  }
  return new HostError({
    reason: `the shell of the guest has failed: ${last === '' ? `exit code ${String(exitCode)}` : last}`,
    native: { driver, ...code, message: last },
  })
}

/** Error for a file of the guest. */
export const fileError = (
  errno: GuestFileErrno,
  path: string,
  reason: string,
  native?: NativeError,
  hint?: string,
): GuestFileError => new GuestFileError({ errno, path, reason, native, hint })

/** The lines of a text of a guest, without control characters, and at most 500 characters of each. */
const linesOf = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replace(/\p{Cc}+/gu, ' ')
        .trim()
        .slice(-500),
    )
