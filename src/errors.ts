import type { GuestFileErrno } from './model/guest-file.js'
import type { SignalName } from './model/signal.js'
import type { VmState } from './model/vm-state.js'
import { VmError, type NativeError, type VmErrorOptions } from './vm-error.js'

export { VmError, type NativeError, type VmErrorOptions }

/** A parameter is wrong, or an image that the VM's settings name can't be used; nothing was changed. */
export class InvalidArgumentError extends VmError {
  static {
    this.prototype.name = 'InvalidArgumentError'
  }
  readonly code = 'INVALID_ARGUMENT' as const
  /** The parameter, as a path: `spec.disks[0].image`; or the setting: `config.cdroms[0].image`, `snapshot.boot.kernel`. */
  readonly path: string

  constructor(options: VmErrorOptions & { readonly path: string }) {
    super(options)
    this.path = options.path
  }
}

/** The host has no such VM. */
export class VmNotFoundError extends VmError {
  static {
    this.prototype.name = 'VmNotFoundError'
  }
  readonly code = 'VM_NOT_FOUND' as const
}

/** The VM has no such snapshot. */
export class SnapshotNotFoundError extends VmError {
  static {
    this.prototype.name = 'SnapshotNotFoundError'
  }
  readonly code = 'SNAPSHOT_NOT_FOUND' as const
}

/** The name or id is taken, or there is a file of that name. */
export class AlreadyExistsError extends VmError {
  static {
    this.prototype.name = 'AlreadyExistsError'
  }
  readonly code = 'ALREADY_EXISTS' as const
}

/** The VM's state forbids the operation. */
export class InvalidStateError extends VmError {
  static {
    this.prototype.name = 'InvalidStateError'
  }
  readonly code = 'INVALID_STATE' as const
  /** The state that the VM is in. */
  readonly state: VmState
  /** The states in which the operation is possible. */
  readonly expected: readonly VmState[]

  constructor(options: VmErrorOptions & { readonly state: VmState; readonly expected: readonly VmState[] }) {
    super(options)
    this.state = options.state
    this.expected = options.expected
  }
}

/** Another operation or process has the VM. The same call may succeed later. */
export class ResourceBusyError extends VmError {
  static {
    this.prototype.name = 'ResourceBusyError'
  }
  readonly code = 'RESOURCE_BUSY' as const
  /** The process that has it, if the host knows. */
  readonly pid: number | undefined

  constructor(options: VmErrorOptions & { readonly pid?: number | undefined }) {
    super(options, true)
    this.pid = options.pid
  }
}

/** Memory, disk space, licences or another resource ran out. */
export class InsufficientResourcesError extends VmError {
  static {
    this.prototype.name = 'InsufficientResourcesError'
  }
  readonly code = 'INSUFFICIENT_RESOURCES' as const
}

/** The host does not support the operation or the setting. `server.capabilities` lists the operations that it supports. */
export class NotSupportedError extends VmError {
  static {
    this.prototype.name = 'NotSupportedError'
  }
  readonly code = 'NOT_SUPPORTED' as const
  /** What is missing: the code of an operation, a feature of one, or a setting: `spec.disks.image`. */
  readonly capability: string
  /** The setting that is refused, as a path: `spec.disks[0].image`. Absent for an operation. */
  readonly path: string | undefined

  constructor(options: VmErrorOptions & { readonly capability: string; readonly path?: string | undefined }) {
    super(options)
    this.capability = options.capability
    this.path = options.path
  }
}

/** The host knows who is asking, and refuses. */
export class PermissionDeniedError extends VmError {
  static {
    this.prototype.name = 'PermissionDeniedError'
  }
  readonly code = 'PERMISSION_DENIED' as const
}

/** The host does not accept the credentials. */
export class AuthenticationError extends VmError {
  static {
    this.prototype.name = 'AuthenticationError'
  }
  readonly code = 'AUTHENTICATION_FAILED' as const
}

/** There is no connection to the host; nothing was sent. */
export class ConnectionError extends VmError {
  static {
    this.prototype.name = 'ConnectionError'
  }
  readonly code = 'CONNECTION_FAILED' as const

  constructor(options: VmErrorOptions) {
    super(options, true)
  }
}

/** It is unknown whether the operation took place: ask the host for the VM's state. */
export class OutcomeUnknownError extends VmError {
  static {
    this.prototype.name = 'OutcomeUnknownError'
  }
  readonly code = 'OUTCOME_UNKNOWN' as const
}

/** `timeoutMs` ran out, and the operation was cancelled. */
export class TimeoutError extends VmError {
  static {
    this.prototype.name = 'TimeoutError'
  }
  readonly code = 'TIMEOUT' as const
}

/** The operation was cancelled, and really stopped. */
export class JobCancelledError extends VmError {
  static {
    this.prototype.name = 'JobCancelledError'
  }
  readonly code = 'JOB_CANCELLED' as const
}

/** From `job.cancel()`: the operation can't be stopped, and goes on. */
export class JobNotCancelableError extends VmError {
  static {
    this.prototype.name = 'JobNotCancelableError'
  }
  readonly code = 'JOB_NOT_CANCELABLE' as const
}

/** From `job.cancel()`: the operation had ended before it could be stopped. */
export class JobFinishedError extends VmError {
  static {
    this.prototype.name = 'JobFinishedError'
  }
  readonly code = 'JOB_FINISHED' as const
}

/** From `job.wait()`: the time for waiting ran out; the job goes on. */
export class WaitTimeoutError extends VmError {
  static {
    this.prototype.name = 'WaitTimeoutError'
  }
  readonly code = 'WAIT_TIMEOUT' as const
}

/** From `job.wait()`: the wait was aborted; the job goes on. */
export class WaitAbortedError extends VmError {
  static {
    this.prototype.name = 'WaitAbortedError'
  }
  readonly code = 'WAIT_ABORTED' as const
}

/** No agent answers in the guest. It is `retryable` if one may still start, as in a guest that boots. */
export class GuestUnavailableError extends VmError {
  static {
    this.prototype.name = 'GuestUnavailableError'
  }
  readonly code = 'GUEST_UNAVAILABLE' as const
}

/** The guest refused to do something with one of its files; nothing was changed. */
export class GuestFileError extends VmError {
  static {
    this.prototype.name = 'GuestFileError'
  }
  readonly code = 'GUEST_FILE_ERROR' as const
  /** Why, by the name of the error in errno(3): `'ENOENT'`. */
  readonly errno: GuestFileErrno
  /** The file in the guest. */
  readonly path: string

  constructor(options: VmErrorOptions & { readonly errno: GuestFileErrno; readonly path: string }) {
    super(options)
    this.errno = options.errno
    this.path = options.path
  }
}

/** From `vm.guest.exec()` with `check: true`: the program ended with an exit code other than 0, or by a signal. */
export class ProgramFailedError extends VmError {
  static {
    this.prototype.name = 'ProgramFailedError'
  }
  readonly code = 'PROGRAM_FAILED' as const
  /** The program's exit code; `undefined` if a signal ended it. */
  readonly exitCode: number | undefined
  /** The signal that ended the program. */
  readonly signal: SignalName | undefined
  /** The end of what it wrote to its standard error, or to its standard output if it has a terminal: at most 4 KiB. */
  readonly stderr: string

  constructor(
    options: VmErrorOptions & {
      readonly exitCode: number | undefined
      readonly signal?: SignalName | undefined
      readonly stderr: string
    },
  ) {
    super(options)
    this.exitCode = options.exitCode
    this.signal = options.signal
    this.stderr = options.stderr
  }
}

/** A firmware image is missing on this machine; the hint says which package has it. */
export class FirmwareNotFoundError extends VmError {
  static {
    this.prototype.name = 'FirmwareNotFoundError'
  }
  readonly code = 'FIRMWARE_NOT_FOUND' as const
}

/** A program is missing on this machine; the hint says which package has it. */
export class HostToolNotFoundError extends VmError {
  static {
    this.prototype.name = 'HostToolNotFoundError'
  }
  readonly code = 'HOST_TOOL_NOT_FOUND' as const
}

/** The peer broke its own protocol, or a file its own format. */
export class ProtocolError extends VmError {
  static {
    this.prototype.name = 'ProtocolError'
  }
  readonly code = 'PROTOCOL_ERROR' as const
}

/** Anything else that the host said; `native` always has its words. */
export class HostError extends VmError {
  static {
    this.prototype.name = 'HostError'
  }
  readonly code = 'HOST_ERROR' as const
  /** What the host itself said. */
  override readonly native: NativeError

  constructor(options: VmErrorOptions & { readonly native: NativeError }) {
    super(options)
    this.native = options.native
  }
}

/** Every error of awaitvm: a union to switch over by its `code`. */
export type AnyVmError =
  | InvalidArgumentError
  | VmNotFoundError
  | SnapshotNotFoundError
  | AlreadyExistsError
  | InvalidStateError
  | ResourceBusyError
  | InsufficientResourcesError
  | NotSupportedError
  | PermissionDeniedError
  | AuthenticationError
  | ConnectionError
  | OutcomeUnknownError
  | TimeoutError
  | JobCancelledError
  | JobNotCancelableError
  | JobFinishedError
  | WaitTimeoutError
  | WaitAbortedError
  | GuestUnavailableError
  | GuestFileError
  | ProgramFailedError
  | FirmwareNotFoundError
  | HostToolNotFoundError
  | ProtocolError
  | HostError

/** Every error class, by its code. */
export type VmErrors = { [E in AnyVmError as E['code']]: E }

/** The code of an error: `'INVALID_STATE'`, `'TIMEOUT'`, ... */
export type VmErrorCode = keyof VmErrors
