import type { VmState } from './vm-state.js'

/** What the host reports of its VMs as it happens. */
export type VmEvent =
  | {
      readonly type: 'state'
      readonly vmId: string
      readonly name: string
      readonly state: VmState
      readonly previous: VmState | undefined
      /**
       * Why, where the host knows: `'guest'`, `'request'`, `'crash'`, or `'disk-full'` of a VM that is paused since the host has no
       * room for what its guest writes.
       */
      readonly reason?: 'guest' | 'request' | 'crash' | 'disk-full' | undefined
      /** Of a crash or a full disk: what the host says of it. Of a VM that is `unknown`: what is wrong with its files, where they are damaged. */
      readonly message?: string | undefined
      readonly at: Date
    }
  | {
      readonly type: 'created' | 'deleted' | 'config' | 'snapshots'
      readonly vmId: string
      readonly name: string
      readonly at: Date
    }
  | {
      /** The reader was too slow, and events were dropped: list the VMs again. */
      readonly type: 'overflow'
      readonly dropped: number
      readonly at: Date
    }

export interface EventFilter {
  /** Only events of the VM of this id. */
  readonly vmId?: string | undefined
  readonly types?: readonly VmEvent['type'][] | undefined
}
