import { errorCode } from '../../../errors/native.js'
import { BootImageError } from './boot-image-error.js'
import { DiskError } from './disk-error.js'
import { MachineStoppedError } from './machine-stopped-error.js'
import { InputFullError } from './paced-queue.js'
import type { Failure } from './protocol.js'
import { SavedStateError } from './saved-state.js'

/** The parts of an error that can be posted to another thread. */
export const toFailure = (error: unknown): Failure => {
  if (error instanceof BootImageError) return { kind: 'bootImage', file: error.file, reason: error.reason }
  if (error instanceof DiskError) {
    return { kind: 'disk', path: error.path, reason: error.reason, code: errorCode(error.cause) }
  }
  if (error instanceof SavedStateError) return { kind: 'savedState', reason: error.reason }
  if (error instanceof InputFullError) return { kind: 'inputFull', limit: error.limit }
  if (error instanceof MachineStoppedError) return { kind: 'stopped' }
  if (!(error instanceof Error)) return toFailure(new Error(String(error)))
  const { name, message, stack } = error
  return { kind: 'other', name, message, code: errorCode(error), stack }
}

export const fromFailure = (failure: Failure): Error => {
  switch (failure.kind) {
    case 'bootImage':
      return new BootImageError(failure.file, failure.reason)
    case 'disk':
      return new DiskError(
        failure.path,
        failure.reason,
        failure.code === undefined ? {} : { cause: systemError(failure) },
      )
    case 'savedState':
      return new SavedStateError(failure.reason)
    case 'inputFull':
      return new InputFullError(failure.limit)
    case 'stopped':
      return new MachineStoppedError()
    case 'other': {
      const error = systemError({ reason: failure.message, code: failure.code })
      error.name = failure.name
      if (failure.stack !== undefined) error.stack = failure.stack
      return error
    }
  }
}

const systemError = ({ reason, code }: { readonly reason: string; readonly code: string | undefined }): Error =>
  Object.assign(new Error(reason), code !== undefined && { code })
