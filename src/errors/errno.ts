import { dirname } from 'node:path'
import { InsufficientResourcesError, PermissionDeniedError, type NativeError, type VmError } from '../errors.js'
import { errorCode } from './native.js'

/** Codes for a lack of processes, threads, descriptors or memory: the system's, and Node's for its threads. */
const exhausted: ReadonlySet<string | undefined> = new Set([
  'EAGAIN',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ERR_WORKER_INIT_FAILED',
  'ERR_WORKER_OUT_OF_MEMORY',
])

export const isExhaustion = (error: unknown): boolean => exhausted.has(codeOf(error))

const codeOf = (error: unknown): string | undefined =>
  errorCode(error) ?? errorCode(error instanceof Error ? error.cause : undefined)

/** What to do if a file system has become read-only. */
export const mountWritable = 'Use another directory, or mount the file system writable.'

/** The folder with the file that a system error is about. */
function folderOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  return 'path' in error && typeof error.path === 'string' ? dirname(error.path) : folderOf(error.cause)
}

/** Converts a system error whose errno has a meaning of its own. */
export function errnoError(error: unknown, native: NativeError): VmError | undefined {
  const options = { reason: native.message, cause: error, native }
  if (isExhaustion(error)) {
    return new InsufficientResourcesError({ ...options, hint: 'Stop other VMs, or raise the limits of this process.' })
  }
  switch (codeOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the disk, and try again.' })
    case 'EACCES':
    case 'EPERM':
      return new PermissionDeniedError({
        ...options,
        // Of a rename, the first path is enough.
        reason: native.message.replace(/ -> '.*'$/, ''),
        hint: 'Check the permissions of that path.',
      })
    case 'EROFS': {
      const folder = folderOf(error)
      const reason = folder === undefined ? native.message : `the file system of ${folder} is read-only`
      return new PermissionDeniedError({ ...options, reason, hint: mountWritable })
    }
    default:
      return undefined
  }
}
