import type { OperationCode, Server, Vm, VmSpec, VmState } from 'awaitvm'
import type { Trouble } from './step.js'

/** A host as the runner needs it: a real one, or one whose time and troubles are in its hand. */
export interface ModelHost {
  /** The connection that is used at present. */
  readonly server: Server
  /** Another connection to the same host, which makes some of the calls. */
  readonly second?: Server | undefined
  /** With two disks of one size. */
  readonly spec: Omit<VmSpec, 'name'>
  /** The states in which the memory's size can be changed, and disks grow. */
  readonly resizableIn: readonly VmState[]
  /** Those of them in which it may become more than what the guest was started with. */
  readonly growsIn: readonly VmState[]
  /** Where a guest that dies leads to. */
  readonly afterCrash: VmState
  /** How long a guest is given to go down, where its button can't be unpressed; absent where a shutdown leaves no trace. */
  readonly shutdownTimeoutMs?: number
  /** Lets things go on for a moment; false where nothing moves by itself any more. */
  turn(): Promise<boolean>
  /** Lets everything happen that is going to; absent where time is not in its hand. */
  settle?(): Promise<void>
  /** Closes the connection, and makes another one; tells what that makes of a VM. Absent where VMs don't outlive it. */
  reconnect?(): Promise<(state: VmState) => VmState>
  /** Makes the guest of a running VM do this, and waits until the host has noticed. */
  happen(vm: Vm, what: 'crash' | 'powerOff'): Promise<void>
  /** Sees to it that the next call of this operation on this VM meets the trouble, unless what is returned is called before. */
  trouble?(
    what: Trouble['what'],
    call: { readonly operation: OperationCode; readonly vm: string },
  ): (() => void) | undefined
}
