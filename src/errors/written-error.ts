import * as v from 'valibot'
import {
  AlreadyExistsError,
  AuthenticationError,
  ConnectionError,
  FirmwareNotFoundError,
  GuestFileError,
  GuestUnavailableError,
  HostError,
  HostToolNotFoundError,
  InsufficientResourcesError,
  InvalidArgumentError,
  InvalidStateError,
  JobCancelledError,
  NotSupportedError,
  OutcomeUnknownError,
  PermissionDeniedError,
  ProgramFailedError,
  ProtocolError,
  ResourceBusyError,
  SnapshotNotFoundError,
  TimeoutError,
  VmNotFoundError,
  type VmError,
} from '../errors.js'
import { guestFileErrnos } from '../model/guest-file.js'
import { signalNames } from '../model/signal.js'
import { vmStates } from '../model/vm-state.js'

/** The errors without fields of their own. */
const plain = {
  VM_NOT_FOUND: VmNotFoundError,
  SNAPSHOT_NOT_FOUND: SnapshotNotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  INSUFFICIENT_RESOURCES: InsufficientResourcesError,
  PERMISSION_DENIED: PermissionDeniedError,
  AUTHENTICATION_FAILED: AuthenticationError,
  CONNECTION_FAILED: ConnectionError,
  OUTCOME_UNKNOWN: OutcomeUnknownError,
  TIMEOUT: TimeoutError,
  JOB_CANCELLED: JobCancelledError,
  GUEST_UNAVAILABLE: GuestUnavailableError,
  FIRMWARE_NOT_FOUND: FirmwareNotFoundError,
  HOST_TOOL_NOT_FOUND: HostToolNotFoundError,
  PROTOCOL_ERROR: ProtocolError,
} as const

const text = v.pipe(v.string(), v.maxLength(10_000))
const state = v.picklist(vmStates)
const native = v.object({ driver: text, code: v.optional(v.union([text, v.number()])), message: text })
const common = { reason: text, hint: v.optional(text), retryable: v.boolean() }

/** An error as it is written down for another process. */
export const writtenErrorSchema = v.variant('code', [
  v.object({ ...common, code: v.literal('INVALID_ARGUMENT'), native: v.optional(native), path: text }),
  v.object({
    ...common,
    code: v.literal('NOT_SUPPORTED'),
    native: v.optional(native),
    capability: text,
    path: v.optional(text),
  }),
  v.object({
    ...common,
    code: v.literal('INVALID_STATE'),
    native: v.optional(native),
    state,
    expected: v.array(state),
  }),
  v.object({ ...common, code: v.literal('RESOURCE_BUSY'), native: v.optional(native), pid: v.optional(v.number()) }),
  v.object({
    ...common,
    code: v.literal('GUEST_FILE_ERROR'),
    native: v.optional(native),
    errno: v.picklist(guestFileErrnos),
    path: text,
  }),
  v.object({
    ...common,
    code: v.literal('PROGRAM_FAILED'),
    native: v.optional(native),
    exitCode: v.optional(v.number()),
    signal: v.optional(v.picklist(signalNames)),
    stderr: text,
  }),
  v.object({ ...common, code: v.literal('HOST_ERROR'), native }),
  v.object({
    ...common,
    code: v.picklist(Object.keys(plain) as (keyof typeof plain)[]),
    native: v.optional(native),
  }),
])

export type WrittenError = v.InferOutput<typeof writtenErrorSchema>

/** An error that does not fit the schema is written as a `HostError` with its words. */
export function writeError(driver: string, error: VmError): WrittenError {
  const { success, output } = v.safeParse(writtenErrorSchema, error)
  if (success) return output
  const reason = error.reason.slice(0, 1000)
  const said = { driver, code: error.code, message: reason }
  return { code: 'HOST_ERROR', reason, retryable: error.retryable, native: said }
}

export function readError(written: WrittenError): VmError {
  switch (written.code) {
    case 'INVALID_ARGUMENT':
      return new InvalidArgumentError(written)
    case 'NOT_SUPPORTED':
      return new NotSupportedError(written)
    case 'INVALID_STATE':
      return new InvalidStateError(written)
    case 'RESOURCE_BUSY':
      return new ResourceBusyError(written)
    case 'GUEST_FILE_ERROR':
      return new GuestFileError(written)
    case 'PROGRAM_FAILED':
      return new ProgramFailedError({ ...written, exitCode: written.exitCode })
    case 'HOST_ERROR':
      return new HostError(written)
    default:
      return new plain[written.code](written)
  }
}
