import { errnoError } from '../../errors/errno.js'
import {
  AlreadyExistsError,
  AuthenticationError,
  ConnectionError,
  HostError,
  InsufficientResourcesError,
  InvalidArgumentError,
  JobCancelledError,
  NotSupportedError,
  PermissionDeniedError,
  ResourceBusyError,
  SnapshotNotFoundError,
  type NativeError,
  type VmError,
} from '../../errors.js'
import { vmNotFound } from '../../errors/lookup.js'
import type { OperationCode } from '../../operations.js'
import { RemoteError } from './rpc/remote-error.js'

/** `virErrorNumber`, as far as the error of awaitvm depends on it. */
const Code = {
  noMemory: 2,
  noSupport: 3,
  noConnect: 5,
  invalidArgument: 8,
  operationFailed: 9,
  xmlError: 27,
  operationDenied: 29,
  xmlDetail: 35,
  systemError: 38,
  rpc: 39,
  noDomain: 42,
  authFailed: 45,
  operationInvalid: 55,
  configUnsupported: 67,
  operationTimeout: 68,
  noSnapshot: 72,
  argumentUnsupported: 74,
  aborted: 78,
  authCancelled: 79,
  overflow: 82,
  operationUnsupported: 84,
  resourceBusy: 87,
  accessDenied: 88,
  authUnavailable: 94,
} as const

/** `VIR_FROM_DBUS`, `VIR_FROM_POLKIT` */
const ofPolkit: readonly number[] = [47, 60]

/** Names of errno that libvirt tells as numbers, by Linux's `errno.h`. */
const errnos: Readonly<Record<number, string>> = { 1: 'EPERM', 12: 'ENOMEM', 13: 'EACCES', 28: 'ENOSPC', 30: 'EROFS' }

/** Whether the state of the domain may be the reason: then it is asked for. Some drivers use the code of any failure. */
export const mayBeOfState = ({ code }: RemoteError): boolean =>
  code === Code.operationInvalid || code === Code.operationFailed || code === 1

/** What failed. */
export interface FailureContext {
  readonly operation: OperationCode
  /** The id of the VM that it failed on. */
  readonly vm?: string | undefined
  /** The parameter that an error in the XML comes from. */
  readonly path?: string | undefined
}

export const nativeOf = ({ code, message }: RemoteError): NativeError => ({ driver: 'libvirt', code, message })

/** The error of awaitvm for what libvirt says; other errors stay as they are. */
export function libvirtError(error: unknown, { operation, vm, path }: FailureContext): unknown {
  if (!(error instanceof RemoteError)) return error
  const native = nativeOf(error)
  const options = { reason: error.message, native, cause: error }
  switch (error.code) {
    case Code.noDomain:
      return vmNotFound(vm ?? '')
    case Code.noSnapshot:
      return new SnapshotNotFoundError({ ...options, hint: 'vm.getSnapshotTree() lists all snapshots.' })
    case Code.operationTimeout:
    case Code.resourceBusy:
      return new ResourceBusyError({ ...options, hint: 'Another client changes the VM. Try again.' })
    case Code.aborted:
      return new JobCancelledError(options)
    case Code.noSupport:
    case Code.operationUnsupported:
    case Code.configUnsupported:
    case Code.argumentUnsupported:
      return new NotSupportedError({ ...options, capability: operation, hint: 'The hypervisor of this host lacks it.' })
    case Code.xmlError:
    case Code.xmlDetail:
    case Code.invalidArgument:
    case Code.overflow:
      return path === undefined ? new HostError(options) : new InvalidArgumentError({ ...options, path })
    case Code.operationDenied:
    case Code.accessDenied:
      return new PermissionDeniedError({ ...options, hint: "Ask the host's administrator for the right." })
    case Code.authFailed:
    case Code.authCancelled:
    case Code.authUnavailable:
      return notLoggedIn(options)
    case Code.noMemory:
      return new InsufficientResourcesError({ ...options, hint: 'Stop other VMs.' })
    case Code.noConnect:
      return new ConnectionError({
        ...options,
        hint: 'The daemon has no such hypervisor: check the URI.',
        retryable: false,
      })
    case Code.systemError: {
      const code = errnos[error.errno]
      const known =
        code === undefined ? undefined : errnoError(Object.assign(new Error(error.message), { code }), native)
      return known ?? new HostError(options)
    }
    default:
      return otherError(error, options)
  }
}

type Options = ConstructorParameters<typeof HostError>[0]

function otherError(error: RemoteError, options: Options): VmError {
  if (ofPolkit.includes(error.domain)) return notLoggedIn(options)
  if (error.code === Code.operationFailed && error.message.includes('already exists')) {
    return new AlreadyExistsError({ ...options, hint: 'Choose another name, or delete that one.' })
  }
  if (error.code === Code.rpc && /unknown procedure/i.test(error.message)) {
    return new NotSupportedError({ ...options, capability: 'libvirt', hint: 'Use a newer libvirt on the host.' })
  }
  return new HostError(options)
}

const notLoggedIn = (options: Options): AuthenticationError =>
  new AuthenticationError({
    ...options,
    hint: 'Check the user and the password; on the machine itself, be root or a member of the group libvirt.',
  })
