import { type JobTarget, operations, type OperationCode } from './operations.js'
import type { VmState } from './model/vm-state.js'

/** What the host itself said, word for word where it said anything. */
export interface NativeError {
  /** The driver that talked to the host: `'embedded'`, `'qmp'`, ... */
  readonly driver: string
  /** The host's own code: an errno name, an exit code, a protocol's error class. */
  readonly code?: string | number | undefined
  readonly message: string
}

export interface VmErrorOptions {
  /** Why it failed, as a clause: `it is suspended`. The operation and the target are put before it. */
  readonly reason: string
  /** What to do about it, as sentences. */
  readonly hint?: string | undefined
  readonly native?: NativeError | undefined
  readonly cause?: unknown
  readonly retryable?: boolean | undefined
}

/**
 * The base of every error that awaitvm reports. `code` is a literal in each subclass, so that a `switch` over it narrows.
 *
 * @example
 * ```ts
 * import { connect, type VmError } from 'awaitvm'
 *
 * const describe = (error: VmError): string => `${error.code}: ${error.message}`
 * const server = await connect('embedded:').unwrap()
 * const found = await server.getVm('web-1')
 * if (found.isErr()) console.error(describe(found.error))
 * await server.close()
 * ```
 */
export abstract class VmError extends Error {
  abstract readonly code: string
  /** Why it failed, without the operation and the target. */
  readonly reason: string
  readonly hint: string | undefined
  readonly native: NativeError | undefined
  /** Whether the same call may succeed later without anything being changed. */
  readonly retryable: boolean
  #operation: OperationCode | undefined
  #target: JobTarget | undefined

  constructor(options: VmErrorOptions, retryable = false) {
    super(sentences(options.reason, options.hint), options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = options.reason
    this.hint = options.hint
    this.native = options.native
    this.retryable = options.retryable ?? retryable
  }

  /** The operation that failed: `'vm.start'`. */
  get operation(): OperationCode | undefined {
    return this.#operation
  }

  /** The VM or host that it failed on. */
  get target(): JobTarget | undefined {
    return this.#target
  }

  /**
   * Says which operation on which target failed, once: drivers report reasons, and whoever runs the operation names it.
   * @internal
   */
  static locate(error: VmError, operation: OperationCode, target: JobTarget | undefined): void {
    if (error.#operation !== undefined) return
    error.#operation = operation
    error.#target = target
    const { message: bare, stack } = error
    const { phrase } = operations[operation]
    const what =
      target === undefined
        ? phrase.replace(/ (on|of|to)$/, '')
        : `${phrase} ${target.type === 'vm' ? 'VM' : 'host'} ${JSON.stringify(target.name)}`
    error.message = `Cannot ${what}: ${bare}`
    // The stack begins with the message that the error was made with.
    if (typeof stack === 'string') error.stack = stack.replace(bare, () => error.message)
  }

  /**
   * The same error before it was said which operation failed.
   * @internal
   */
  static copy(error: VmError): VmError {
    return Reflect.construct(error.constructor, [Object.assign({ cause: error.cause }, error)]) as VmError
  }

  toJSON(): Record<string, unknown> {
    const { cause } = this
    const own: Record<string, unknown> = { ...(this as object) }
    return {
      // The subclass's own fields: path, state, expected, capability, ...
      ...own,
      name: this.name,
      code: this.code,
      message: this.message,
      operation: this.operation,
      target: this.target,
      ...(cause instanceof Error && { cause: { name: cause.name, message: cause.message } }),
    }
  }
}

function sentences(reason: string, hint: string | undefined): string {
  // A host's own words may end a sentence already.
  const sentence = /[.!?]$/.test(reason) ? reason : `${reason}.`
  return hint === undefined ? sentence : `${sentence} ${hint}`
}

/** A parameter is wrong; nothing was sent to the host. */
export class InvalidArgumentError extends VmError {
  static {
    this.prototype.name = 'InvalidArgumentError'
  }
  readonly code = 'INVALID_ARGUMENT' as const
  /** The parameter, as a path: `spec.disks[0].image`. */
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

/** The name or id is taken. */
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

/** Another operation or process has the VM; the same call may succeed once it has let go. */
export class ResourceBusyError extends VmError {
  static {
    this.prototype.name = 'ResourceBusyError'
  }
  readonly code = 'RESOURCE_BUSY' as const
  /** The process that has it, where the host can tell. */
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

/** This host can't do it. `server.capabilities` tells beforehand. */
export class NotSupportedError extends VmError {
  static {
    this.prototype.name = 'NotSupportedError'
  }
  readonly code = 'NOT_SUPPORTED' as const
  /** What is missing: an operation's code or a feature of one. */
  readonly capability: string

  constructor(options: VmErrorOptions & { readonly capability: string }) {
    super(options)
    this.capability = options.capability
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

/** Nobody can say whether the operation took place: ask the host for the VM's state. */
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

/** No agent answers in the guest. */
export class GuestUnavailableError extends VmError {
  static {
    this.prototype.name = 'GuestUnavailableError'
  }
  readonly code = 'GUEST_UNAVAILABLE' as const
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
  override readonly native: NativeError

  constructor(options: VmErrorOptions & { readonly native: NativeError }) {
    super(options)
    this.native = options.native
  }
}

/** Every error class, by its code. */
export interface VmErrors {
  INVALID_ARGUMENT: InvalidArgumentError
  VM_NOT_FOUND: VmNotFoundError
  SNAPSHOT_NOT_FOUND: SnapshotNotFoundError
  ALREADY_EXISTS: AlreadyExistsError
  INVALID_STATE: InvalidStateError
  RESOURCE_BUSY: ResourceBusyError
  INSUFFICIENT_RESOURCES: InsufficientResourcesError
  NOT_SUPPORTED: NotSupportedError
  PERMISSION_DENIED: PermissionDeniedError
  AUTHENTICATION_FAILED: AuthenticationError
  CONNECTION_FAILED: ConnectionError
  OUTCOME_UNKNOWN: OutcomeUnknownError
  TIMEOUT: TimeoutError
  JOB_CANCELLED: JobCancelledError
  JOB_NOT_CANCELABLE: JobNotCancelableError
  JOB_FINISHED: JobFinishedError
  WAIT_TIMEOUT: WaitTimeoutError
  WAIT_ABORTED: WaitAbortedError
  GUEST_UNAVAILABLE: GuestUnavailableError
  FIRMWARE_NOT_FOUND: FirmwareNotFoundError
  HOST_TOOL_NOT_FOUND: HostToolNotFoundError
  PROTOCOL_ERROR: ProtocolError
  HOST_ERROR: HostError
}

export type VmErrorCode = keyof VmErrors
