import type { VmState } from './model/vm-state.js'

/** What a job works on. */
export interface JobTarget {
  /** Whether it is a host or a VM. */
  readonly type: 'host' | 'vm'
  /** The VM's id on its host, or the host's URI without credentials. */
  readonly id: string
  /** The VM's name, or the host's URI without credentials. */
  readonly name: string
}

/** What an operation answers; `DriverAnswers` has the type of each. */
export type AnswerKind =
  | 'hostInfo'
  | 'vm'
  | 'vms'
  | 'jobs'
  | 'outcome'
  | 'state'
  | 'snapshot'
  | 'snapshots'
  | 'statistics'
  | 'image'
  | 'cachedImage'
  | 'cachedImages'
  | 'console'
  | 'program'
  | 'addresses'
  | 'entries'
  | 'stats'
  | 'guestInfo'
  | 'json'
  | 'nothing'

/** One row of the table of operations: `operations`. */
export interface OperationSpec {
  /** Completes "Cannot ... VM "web-1"" in messages. */
  readonly phrase: string
  /** What a driver answers; absent if awaitvm does it without an operation of the driver by that name. */
  readonly answers?: AnswerKind
  /**
   * What a host needs to offer it, other than an operation of its driver by that name: no more than a connection, or another of
   * the driver's operations.
   */
  readonly needs?: 'connection' | 'server.getVm' | 'vm.getState'
  /** The states in which a VM accepts it; absent if the state does not matter. */
  readonly from?: readonly VmState[]
  /** The states in which it is accepted with `mode: 'kill'`. */
  readonly fromKill?: readonly VmState[]
  /** The states in which it is accepted with `memory: true`, if it is of the present moment. A snapshot can be had in any state. */
  readonly fromMemory?: readonly VmState[]
  /** The state that the host may show until it is done. */
  readonly through?: VmState
  /** The state that it leads to; absent if it changes none. */
  readonly to?: VmState
  /** It changes nothing: a caller without an answer has lost nothing. */
  readonly isQuery?: true
  /** A host that keeps jobs keeps it as one, with a token: it changes a VM. */
  readonly isJob?: true
  /** It takes its time, and a host can stop it on its way. What is done in one step can't be stopped. */
  readonly isCancelable?: true
  /** How many milliseconds it may take if the caller sets no `timeoutMs`; absent if it may take any time. */
  readonly timeoutMs?: number
  /** The codes of the errors that its job may end with; `OperationErrors` checks that each is one. */
  readonly errors: readonly string[]
}

/** The errors of every call to a host, also of a query: it opens files, runs programs, and waits for other operations. */
export const anyCall = [
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
] as const

/** The errors of operations on a VM. */
export const onVm = [...anyCall, 'VM_NOT_FOUND'] as const
/** The errors of operations that need a VM in a certain state. */
export const inState = [...onVm, 'INVALID_STATE'] as const
/** The errors of operations in a guest. */
export const inGuest = [...inState, 'GUEST_UNAVAILABLE'] as const
/** The errors of operations on files of a guest. */
export const onGuestFile = [...inGuest, 'GUEST_FILE_ERROR'] as const
