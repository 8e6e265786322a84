import {
  HostError,
  InsufficientResourcesError,
  InvalidArgumentError,
  JobCancelledError,
  PermissionDeniedError,
  ProtocolError,
  ResourceBusyError,
  VmError,
  type NativeError,
} from '../../errors.js'
import { errorCode, nativeErrorOf } from '../../errors/native.js'
import { BootImageError } from './machine/boot-image-error.js'
import { DiskError } from './machine/disk-error.js'
import { SavedStateError } from './machine/saved-state.js'

export const nativeError = (error: unknown): NativeError => nativeErrorOf('embedded', error)

export const heldBy = (pid: number): ResourceBusyError =>
  new ResourceBusyError({
    pid,
    reason: pid === process.pid ? 'another connection of this process has it' : `the process ${String(pid)} has it`,
    hint: 'Stop it there, or wait until that process lets go of it.',
  })

/** What went wrong with files, images and the emulator, as the SDK speaks of it. */
export function embeddedError(error: unknown): VmError {
  if (error instanceof VmError) return error
  if (error instanceof Error && error.name === 'AbortError')
    return new JobCancelledError({ reason: error.message, cause: error })
  const native = nativeError(error)
  if (error instanceof BootImageError) {
    const path = `boot.${error.file}`
    return new InvalidArgumentError({ path, reason: `the ${error.file} ${error.reason}`, cause: error, native })
  }
  if (error instanceof DiskError && error.cause === undefined) {
    return new InvalidArgumentError({ path: 'disks', reason: error.message, cause: error, native })
  }
  if (error instanceof SavedStateError) {
    const hint = "Drop the saved state with vm.stop({ mode: 'kill' })."
    return new ProtocolError({ reason: error.message, hint, cause: error, native })
  }
  return byErrno(error, native) ?? new HostError({ reason: native.message, cause: error, native })
}

function byErrno(error: unknown, native: NativeError): VmError | undefined {
  const options = { reason: native.message, cause: error, native }
  switch (errorCode(error) ?? errorCode(error instanceof Error ? error.cause : undefined)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the disk, and try again.' })
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'ERR_WORKER_OUT_OF_MEMORY':
      return new InsufficientResourcesError({ ...options, hint: 'Stop other VMs, and try again.' })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PermissionDeniedError({ ...options, hint: 'Check the rights on that path.' })
    default:
      // What WebAssembly says when the memory of a machine can't be had.
      return error instanceof RangeError && /memory/i.test(error.message)
        ? new InsufficientResourcesError({ ...options, hint: 'Give the VM less memory, or stop other VMs.' })
        : undefined
  }
}
