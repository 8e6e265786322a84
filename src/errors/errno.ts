import { InsufficientResourcesError, PermissionDeniedError, type NativeError, type VmError } from '../errors.js'
import { errorCode } from './native.js'

/** What the system could not do, where its errno says more than that it failed. */
export function errnoError(error: unknown, native: NativeError): VmError | undefined {
  const options = { reason: native.message, cause: error, native }
  switch (errorCode(error) ?? errorCode(error instanceof Error ? error.cause : undefined)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the disk, and try again.' })
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
      return new InsufficientResourcesError({ ...options, hint: 'Stop other VMs, and try again.' })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PermissionDeniedError({ ...options, hint: 'Check the rights on that path.' })
    default:
      return undefined
  }
}
