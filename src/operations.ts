import type { VmErrorCode } from './errors.js'
import type { VmState } from './model/vm-state.js'

/** What a job works on. */
export interface JobTarget {
  readonly type: 'host' | 'vm'
  /** The VM's id on its host, or the host's URI without credentials. */
  readonly id: string
  readonly name: string
}

/** One row of the table of operations. */
export interface OperationSpec {
  /** Completes "Cannot ... VM "web-1"" in messages. */
  readonly phrase: string
  /** The states in which a VM accepts it; absent where the state does not matter. */
  readonly from?: readonly VmState[]
  /** The states in which it is accepted with `mode: 'kill'`. */
  readonly fromKill?: readonly VmState[]
  /** The state that the host may show meanwhile. */
  readonly through?: VmState
  /** The state that it leads to; absent where it changes none. */
  readonly to?: VmState
  /** Whether it changes nothing: a caller who has no answer has lost nothing. */
  readonly isQuery?: true
  /** How many milliseconds it may take where the caller sets no `timeoutMs`; absent where it may take any time. */
  readonly timeoutMs?: number
  /** The codes of the errors that its job may end with. */
  readonly errors: readonly VmErrorCode[]
}

/** What every call to a host may end with, also a query: it opens files, runs programs, and waits for what else is at work there. */
const anyCall = [
  'INVALID_ARGUMENT',
  'NOT_SUPPORTED',
  'RESOURCE_BUSY',
  'INSUFFICIENT_RESOURCES',
  'HOST_TOOL_NOT_FOUND',
  'PERMISSION_DENIED',
  'AUTHENTICATION_FAILED',
  'CONNECTION_FAILED',
  'OUTCOME_UNKNOWN',
  'TIMEOUT',
  'JOB_CANCELLED',
  'PROTOCOL_ERROR',
  'HOST_ERROR',
] as const satisfies VmErrorCode[]

const onVm = [...anyCall, 'VM_NOT_FOUND'] as const satisfies VmErrorCode[]
/** Of what needs a VM in a certain state. */
const inState = [...onVm, 'INVALID_STATE'] as const satisfies VmErrorCode[]
const inGuest = [...inState, 'GUEST_UNAVAILABLE'] as const satisfies VmErrorCode[]

/** A guest that has not shut down by then is not going to: init systems commonly give their services 90 seconds. */
const shutdownTimeoutMs = 120_000

/**
 * Every operation: how it is spoken of, the states that it needs and leads to, and the errors that it may end with.
 * Drivers check states against it, messages are worded from it, and the error types of the API are derived from it.
 */
export const operations = {
  connect: {
    phrase: 'connect to',
    isQuery: true,
    errors: anyCall,
  },
  'server.getInfo': { phrase: 'get information about', isQuery: true, errors: anyCall },
  'server.getVmList': { phrase: 'list the VMs of', isQuery: true, errors: anyCall },
  'server.getVm': { phrase: 'find the VM on', isQuery: true, errors: onVm },
  'server.createVm': {
    phrase: 'create the VM on',
    to: 'stopped',
    errors: [...anyCall, 'ALREADY_EXISTS'],
  },
  'server.registerVm': {
    phrase: 'register the VM on',
    errors: [...anyCall, 'ALREADY_EXISTS'],
  },
  'server.getJobs': { phrase: 'list the jobs of', isQuery: true, errors: anyCall },
  'server.attachJob': {
    phrase: 'attach to a job of',
    errors: [...inState, 'ALREADY_EXISTS', 'SNAPSHOT_NOT_FOUND', 'FIRMWARE_NOT_FOUND', 'GUEST_UNAVAILABLE'],
  },
  'server.close': { phrase: 'close', errors: anyCall },
  'vm.getState': { phrase: 'get the state of', isQuery: true, errors: onVm },
  'vm.refresh': { phrase: 'refresh', isQuery: true, errors: onVm },
  'vm.waitForState': { phrase: 'wait for a state of', isQuery: true, errors: onVm },
  'vm.start': {
    phrase: 'start',
    from: ['stopped', 'crashed'],
    through: 'starting',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.stop': {
    phrase: 'stop',
    from: ['running'],
    fromKill: ['running', 'paused', 'suspended', 'crashed', 'unknown'],
    through: 'stopping',
    to: 'stopped',
    timeoutMs: shutdownTimeoutMs,
    errors: [...inState, 'GUEST_UNAVAILABLE'],
  },
  'vm.pause': { phrase: 'pause', from: ['running'], through: 'pausing', to: 'paused', errors: inState },
  'vm.resume': {
    phrase: 'resume',
    from: ['paused', 'suspended'],
    through: 'resuming',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.suspend': {
    phrase: 'suspend',
    from: ['running', 'paused'],
    through: 'suspending',
    to: 'suspended',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.reset': {
    phrase: 'reset',
    from: ['running', 'paused'],
    through: 'resetting',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.restart': {
    phrase: 'restart',
    from: ['running'],
    through: 'resetting',
    to: 'running',
    timeoutMs: shutdownTimeoutMs,
    errors: [...inState, 'FIRMWARE_NOT_FOUND', 'GUEST_UNAVAILABLE'],
  },
  'vm.edit': {
    phrase: 'edit',
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    errors: [...inState, 'ALREADY_EXISTS'],
  },
  'vm.clone': {
    phrase: 'clone',
    from: ['stopped', 'running', 'paused', 'crashed'],
    through: 'cloning',
    errors: [...inState, 'ALREADY_EXISTS'],
  },
  'vm.delete': { phrase: 'delete', from: ['stopped', 'suspended', 'crashed'], errors: inState },
  'vm.unregister': { phrase: 'unregister', from: ['stopped', 'suspended', 'crashed'], errors: inState },
  'vm.migrate': {
    phrase: 'migrate',
    from: ['stopped', 'running', 'paused', 'suspended'],
    through: 'migrating',
    errors: [...inState, 'ALREADY_EXISTS'],
  },
  'vm.createSnapshot': {
    phrase: 'create a snapshot of',
    from: ['stopped', 'running', 'paused', 'crashed'],
    through: 'snapshotting',
    errors: [...inState, 'ALREADY_EXISTS', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.getSnapshotTree': { phrase: 'list the snapshots of', isQuery: true, errors: onVm },
  'vm.switchToSnapshot': {
    phrase: 'switch the snapshot of',
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    through: 'snapshotting',
    errors: [...inState, 'SNAPSHOT_NOT_FOUND', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.deleteSnapshot': {
    phrase: 'delete a snapshot of',
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    errors: [...inState, 'SNAPSHOT_NOT_FOUND'],
  },
  'vm.getStatistics': {
    phrase: 'get statistics of',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  'vm.screenshot': {
    phrase: 'take a screenshot of',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  'vm.sendKeys': { phrase: 'send keys to', from: ['running'], errors: inState },
  'vm.console': {
    phrase: 'open the console of',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  'guest.exec': { phrase: 'run a program in', from: ['running'], errors: inGuest },
  'guest.getNetworkAddresses': {
    phrase: 'get the network addresses of',
    isQuery: true,
    from: ['running'],
    errors: inGuest,
  },
  'guest.copyIn': { phrase: 'copy a file into', from: ['running'], errors: inGuest },
  'guest.copyOut': { phrase: 'copy a file out of', from: ['running'], errors: inGuest },
  'job.cancel': { phrase: 'cancel a job on', errors: ['JOB_NOT_CANCELABLE', 'JOB_FINISHED'] },
  'job.all': { phrase: 'finish all jobs', errors: anyCall },
  'job.any': { phrase: 'finish any job', errors: anyCall },
  'job.race': { phrase: 'finish the first job', errors: anyCall },
  'job.settled': { phrase: 'wait for all jobs', errors: ['INVALID_ARGUMENT'] },
  batch: { phrase: 'run the batch', errors: ['INVALID_ARGUMENT'] },
} as const satisfies Record<string, OperationSpec>

/** `'vm.start'`, `'server.getVmList'`, ... */
export type OperationCode = keyof typeof operations
