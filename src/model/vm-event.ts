import type { VmState } from './vm-state.js'

/** A VM is in another state than before. */
export interface VmStateEvent {
  /** Which event it is. */
  readonly type: 'state'
  /** The VM's id. */
  readonly vmId: string
  /** The VM's name at that moment. */
  readonly name: string
  /** The state that the VM is in now. */
  readonly state: VmState
  /** The state that it was in before; `undefined` if the host does not tell. */
  readonly previous: VmState | undefined
  /**
   * Why, if the host knows: `'guest'`, `'request'`, `'crash'`, or `'disk-full'` of a VM that is paused because the host has no
   * room for what its guest writes.
   */
  readonly reason?: 'guest' | 'request' | 'crash' | 'disk-full' | undefined
  /** What the host says of a crash or a full disk; of a VM that is `unknown`, what is wrong with its files if they are damaged. */
  readonly message?: string | undefined
  /** When it happened, or was noticed. */
  readonly at: Date
}

/** A VM was made or deleted, or its settings or snapshots have changed. */
export interface VmChangeEvent {
  /** Which event it is. */
  readonly type: 'created' | 'deleted' | 'config' | 'snapshots'
  /** The VM's id. */
  readonly vmId: string
  /** The VM's name at that moment. */
  readonly name: string
  /** When it happened, or was noticed. */
  readonly at: Date
}

/** The reader was too slow, and events were dropped: list the VMs again. */
export interface OverflowEvent {
  /** Which event it is. */
  readonly type: 'overflow'
  /** How many events were dropped. */
  readonly dropped: number
  /** When the first of them was dropped. */
  readonly at: Date
}

/** What the host reports of its VMs as it happens. */
export type VmEvent = VmStateEvent | VmChangeEvent | OverflowEvent

/** Which events `server.events()` gives; all if empty. */
export interface EventFilter {
  /** Only events of the VM of this id. */
  readonly vmId?: string | undefined
  /** Only events of these types. */
  readonly types?: readonly VmEvent['type'][] | undefined
}
