import type { ConnectOptions } from '../../connect.js'
import type { OperationCode } from '../../operations.js'
import type { Server } from '../../server.js'
import type { Vm } from '../../vm.js'
import type { VmSpec } from '../../model/vm-spec.js'
import type { VmState } from '../../model/vm-state.js'
import type { GuestProfile } from './guest.js'

/** One connection to a host that was made for one case, and nobody else uses. */
export interface OpenHost {
  readonly server: Server
  /** Another connection to the same host, where there can be several. */
  connectAgain?(options?: ConnectOptions): Promise<Server>
  /** Makes a VM that has a guest, where one that is made of a spec has none. */
  createVmWithGuest?(server: Server, spec: VmSpec): Promise<Vm>
  /** Everything that the host keeps on disk, as paths; a case compares before and after. */
  files?(): Promise<readonly string[]>
  /** Where the VM's files are at present, which makes the host know it again after `vm.unregister()`. */
  registrationPath?(vm: Vm): string
  /** The URI of another host that VMs can be moved to. */
  readonly migrationTarget?: string
  /** Lets go of everything, and tells what is still there that should not be. The servers are closed by then. */
  dispose(): Promise<readonly string[]>
}

/** A host that the suite runs against, and what it documents where hosts differ. */
export interface ConformanceHost {
  /** As in the README's table; the part before the colon selects it in `AWAITVM_TEST_HOSTS`. */
  readonly name: string
  /** `server.driver` */
  readonly driver: string
  /** Why the host can't be had on this machine. */
  readonly unavailable?: string | undefined
  readonly guest: GuestProfile
  /** A VM whose guest is a POSIX system with an agent that answers; absent where the guest above is one. */
  readonly guestWithAgent?: (() => GuestProfile) | undefined
  /** A VM that boots without an agent; absent where that of the guest above does. */
  readonly specWithoutAgent?: Omit<VmSpec, 'name'> | undefined
  /** Whether the files of its guests are only on paper: there are no links and pipes. */
  readonly hasPaperFiles?: boolean | undefined
  /** What the host does not tell: when a VM was made, why it stopped. */
  readonly untold?: readonly ('createdAt' | 'reason')[] | undefined
  /** States in which the host refuses an operation, or a setting of an edit, that others allow there. */
  readonly refusedFrom?: Partial<Record<OperationCode | 'vm.edit.name', readonly VmState[]>> | undefined
  /** States in which the host does what others refuse there. */
  readonly allowedFrom?: Partial<Record<OperationCode, readonly VmState[]>> | undefined
  /** Settings that the host refuses with NOT_SUPPORTED, whatever their value, by path: `spec.boot.kernel`. */
  readonly refusedSettings?: readonly string[] | undefined
  /** Whether disks stay in the order in which they were made. */
  readonly keepsDiskOrder?: boolean | undefined
  /** Whether VMs are still there for the next connection. Then `connectAgain` is there, too. */
  readonly keepsVms: boolean
  /** Whether a running VM runs on when the connection is closed, or is killed. */
  readonly onClose: 'runs-on' | 'is-killed'
  /** Whether a VM that one connection runs can be worked on by another. */
  readonly sharesRunningVms: boolean
  /** Whether a press of the power button that the guest has not noticed can be taken back. */
  readonly withdrawsPowerButton: boolean
  /** Where a guest that dies leads to. */
  readonly afterCrash: VmState
  open(options?: ConnectOptions): Promise<OpenHost>
}
