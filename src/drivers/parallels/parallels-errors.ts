import { abortedError } from '../../errors/cancelled.js'
import { vmNotFound } from '../../errors/lookup.js'
import { invalidState } from '../../errors/state.js'
import {
  AlreadyExistsError,
  AuthenticationError,
  ConnectionError,
  GuestUnavailableError,
  HostError,
  HostToolNotFoundError,
  InsufficientResourcesError,
  InvalidArgumentError,
  JobCancelledError,
  NotSupportedError,
  OutcomeUnknownError,
  PermissionDeniedError,
  ResourceBusyError,
  SnapshotNotFoundError,
  TimeoutError,
  VmError,
} from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationCode, type OperationSpec } from '../../operations.js'
import { ParallelsFailure } from './parallels-failure.js'

/** The operation that failed. */
export interface FailureContext {
  readonly operation: OperationCode
  /** The VM, by its id. */
  readonly vm?: string | undefined
  /** The argument to name if the host calls an argument wrong. */
  readonly path?: string | undefined
  /** The state of the VM after the failure, and the states that the operation needs. */
  readonly state?: VmState | undefined
  readonly expected?: readonly VmState[] | undefined
}

/** The text after prlctl's own words: `Failed to start the VM: ...`. */
function reasonOf(message: string): string {
  const told = /(?:^|\n)(?:Failed to [^:\n]*|Login failed|PrlJob_\w+): ([\s\S]*)/.exec(message)?.[1] ?? message
  return told.trim().replace(/\s+/g, ' ')
}

/** The error of awaitvm for a failure of Parallels. */
export function parallelsError(error: unknown, context: FailureContext): VmError {
  if (error instanceof VmError) return error
  if (!(error instanceof ParallelsFailure)) {
    const aborted = abortedError(error)
    if (aborted !== undefined) return aborted
    const message = error instanceof Error ? error.message : String(error)
    return new HostError({ reason: message, cause: error, native: { driver: 'parallels', message } })
  }
  const { kind, native } = error
  const options = { reason: reasonOf(native.message), native, cause: error }
  const { vm, path, state, expected = [] } = context
  switch (kind) {
    case 'vm-not-found':
      return vm === undefined ? new HostError(options) : located(vmNotFound(vm), options)
    case 'snapshot-not-found':
      return new SnapshotNotFoundError({ ...options, hint: 'vm.getSnapshotTree() tells which there are.' })
    case 'file-not-found':
    case 'argument':
      return path === undefined ? new HostError(options) : new InvalidArgumentError({ ...options, path })
    case 'exists':
      return new AlreadyExistsError({ ...options, hint: 'Choose another name, or delete that VM.' })
    case 'state':
      return state === undefined || expected.includes(state)
        ? new ResourceBusyError({ ...options, hint: 'Another operation was in progress. Try again.' })
        : located(invalidState(state, expected), options)
    case 'busy':
    case 'synchronizing':
      return new ResourceBusyError({ ...options, hint: 'Try again once the other operation has ended.' })
    case 'resources':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the host, or stop other VMs.' })
    case 'edition':
      return new NotSupportedError({
        ...options,
        capability: context.operation,
        hint: 'The command line needs Parallels Desktop Pro, Business or Enterprise.',
      })
    case 'not-supported':
      return new NotSupportedError({ ...options, capability: context.operation, hint: 'This host does not offer it.' })
    case 'template':
      return new NotSupportedError({
        ...options,
        capability: context.operation,
        hint: 'It is a template: clone it with vm.clone(), and start the clone.',
      })
    case 'denied':
      return new PermissionDeniedError({
        ...options,
        hint: 'Check the licence and the rights of the user on the host.',
      })
    case 'password':
      return new PermissionDeniedError({ ...options, hint: passwordHint(context.operation) })
    case 'credentials':
      return new AuthenticationError({ ...options, hint: 'Check the user and the key.' })
    case 'connection':
      return new ConnectionError({
        ...options,
        hint: 'Start Parallels Desktop, or the dispatcher service, on that host, and try again.',
      })
    case 'not-begun':
      return new ConnectionError({ ...options, hint: 'Nothing was sent to the host.' })
    case 'cancelled':
      return new JobCancelledError(options)
    case 'cancelled-unasked':
      return new HostError({
        ...options,
        reason: `Parallels cancelled it without being asked: ${options.reason}`,
        hint: unaskedHints[context.operation] ?? 'Look at the VM in Parallels, and try again.',
      })
    case 'timed-out':
      return new TimeoutError({ ...options, reason: 'it did not end in time, and was cancelled' })
    case 'guest-unavailable':
      return new GuestUnavailableError({
        ...options,
        hint: 'Install Parallels Tools in the guest, or wait until they have started.',
        retryable: true,
      })
    case 'tool-missing':
      return new HostToolNotFoundError({
        ...options,
        hint: 'Install Parallels Desktop, or name its program in the URI: parallels:?prlctl=/path/to/prlctl.',
      })
    case 'overdue':
      return isQuery(context.operation) ? new TimeoutError({ ...options, hint: 'Try again.' }) : unknownOutcome(options)
    case 'lost':
    case 'connection-lost':
      return isQuery(context.operation)
        ? new ConnectionError({ ...options, hint: 'Nothing was changed. Try again.' })
        : unknownOutcome(options)
    case 'other':
      return new HostError(options)
    default:
      return kind satisfies never
  }
}

const isQuery = (operation: OperationCode): boolean => {
  const spec: OperationSpec = operations[operation]
  return spec.isQuery === true
}

/** Operations that a guest may refuse; macOS refuses while a user is logged in. */
const unaskedHints: Partial<Record<OperationCode, string>> = {
  'vm.stop': "Its guest may have refused. Take the power away with vm.stop({ mode: 'kill' }).",
  'vm.restart': 'Its guest may have refused. Reset it with vm.reset().',
}

/** Actions for which Parallels Desktop can be configured to ask for a password. */
const guardedActions: Partial<Record<OperationCode, string>> = {
  'server.createVm': 'create-vm',
  'server.registerVm': 'add-vm',
  'vm.clone': 'clone-vm',
  'vm.delete': 'remove-vm',
  'vm.unregister': 'remove-vm',
}

function passwordHint(operation: OperationCode): string {
  const action = guardedActions[operation]
  return action === undefined
    ? 'Do it in Parallels Desktop, and enter the password there.'
    : `Turn the password prompt off: run "prlsrvctl set --require-pwd ${action}:off" on the host.`
}

const unknownOutcome = (options: ConstructorParameters<typeof OutcomeUnknownError>[0]): OutcomeUnknownError =>
  new OutcomeUnknownError({ ...options, hint: 'Ask for the state of the VM: the operation may still take place.' })

/** Adds the host's own words to an error of awaitvm. */
const located = <E extends VmError>(error: E, { native, cause }: Pick<VmError, 'native' | 'cause'>): E =>
  Reflect.construct(error.constructor, [Object.assign({}, error, { native, cause })]) as E
