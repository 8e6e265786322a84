import type { OperationCode, Server, Vm, VmSpec, VmState } from 'awaitvm'
import type { Trouble } from './step.js'

/** A host as the runner needs it: a real one, or one whose time and troubles the test controls. */
export interface ModelHost {
  /** The present connection. */
  readonly server: Server
  /** A second connection to the same host, which makes some of the calls. */
  readonly second?: Server | undefined
  /** Has two disks of one size. */
  readonly spec: Omit<VmSpec, 'name'>
  /** The states in which the memory's size can be changed, and disks grow. */
  readonly resizableIn: readonly VmState[]
  /** Those of them in which the memory may exceed what the guest was started with. */
  readonly growsIn: readonly VmState[]
  /** The state of a VM whose guest has crashed. */
  readonly afterCrash: VmState
  /** The time limit of a shutdown, on a host that can't take the power button back; absent if a shutdown leaves no trace. */
  readonly shutdownTimeoutMs?: number
  /** Lets time go on for a moment. False if nothing happens by itself any more. */
  turn(): Promise<boolean>
  /** Lets time go on until nothing more happens; absent if the test does not control time. */
  settle?(): Promise<void>
  /** Closes the connection and makes another one. Returns what becomes of a VM thereby. Absent if VMs end with the connection. */
  reconnect?(): Promise<(state: VmState) => VmState>
  /** Makes the guest of a running VM do this, and waits until the host reports it. */
  happen(vm: Vm, what: 'crash' | 'powerOff'): Promise<void>
  /** Makes the next call of this operation on this VM meet the trouble, unless the returned function is called before. */
  trouble?(
    what: Trouble['what'],
    call: { readonly operation: OperationCode; readonly vm: string },
  ): (() => void) | undefined
}
