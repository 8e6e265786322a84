import {
  HostError,
  InsufficientResourcesError,
  InvalidArgumentError,
  ProtocolError,
  VmError,
  type NativeError,
} from '../../errors.js'
import { abortedError } from '../../errors/cancelled.js'
import { errnoError } from '../../errors/errno.js'
import { nativeErrorOf } from '../../errors/native.js'
import { BootImageError } from './machine/boot-image-error.js'
import { DiskError } from './machine/disk-error.js'
import { SavedStateError } from './machine/saved-state.js'
import { damagedFile } from '../../registry/file-problem.js'
import { NotOwnError } from '../../registry/own-file.js'

export const nativeError = (error: unknown): NativeError => nativeErrorOf('embedded', error)

/** The `VmError` for an error of a file, an image or the emulator. */
export function embeddedError(error: unknown): VmError {
  if (error instanceof VmError) return error
  if (error instanceof NotOwnError) {
    const hint = 'Put back the file that was there, or remove this one.'
    return damagedFile(error.path, error, { driver: 'embedded', hint })
  }
  const aborted = abortedError(error)
  if (aborted !== undefined) return aborted
  const native = nativeError(error)
  if (error instanceof BootImageError) {
    const path = `boot.${error.file}`
    return new InvalidArgumentError({ path, reason: `the ${error.file} ${error.reason}`, cause: error, native })
  }
  const system = errnoError(error, native) ?? outOfMemory(error, native)
  if (system !== undefined) return system
  if (error instanceof DiskError) {
    return new InvalidArgumentError({ path: 'disks', reason: error.message, cause: error, native })
  }
  if (error instanceof SavedStateError) {
    const hint = "Drop the saved state with vm.stop({ mode: 'kill' })."
    return new ProtocolError({ reason: error.message, hint, cause: error, native })
  }
  return new HostError({ reason: native.message, cause: error, native })
}

/** The error of WebAssembly or JavaScript for memory that can't be allocated. From a thread, an error keeps only its name. */
function outOfMemory(error: unknown, native: NativeError): VmError | undefined {
  if (!(error instanceof Error) || error.name !== 'RangeError') return undefined
  if (!/memory|allocation failed/i.test(error.message)) return undefined
  const hint = 'Give the VM less memory, or stop other VMs.'
  return new InsufficientResourcesError({ reason: native.message, cause: error, native, hint })
}
