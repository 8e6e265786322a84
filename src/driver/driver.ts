import type { Duplex } from 'node:stream'
import type { ExecOptions, ExecResult, NetworkAddress } from '../model/exec.js'
import type { HostInfo } from '../model/host-info.js'
import type { Keys } from '../model/keys.js'
import type { Snapshot, SnapshotNode } from '../model/snapshot.js'
import type { VmStatistics } from '../model/statistics.js'
import type { VmConfig } from '../model/vm-config.js'
import type { VmEvent } from '../model/vm-event.js'
import type { VmNative } from '../model/vm-native.js'
import type { VmChanges, VmFilter, VmSpec } from '../model/vm-spec.js'
import type { VmState } from '../model/vm-state.js'
import type { OperationCode } from '../operations.js'
import type { VmError } from '../vm-error.js'
import type { ProgressUpdate, Task } from './task.js'

/** A VM as its host describes it at one moment. */
export interface VmRecord {
  readonly id: string
  readonly state: VmState
  readonly config: VmConfig
  /** What only this kind of host has to tell of it. */
  readonly native?: VmNative | undefined
  /**
   * What is wrong, and the way out: of a VM whose files are damaged, and whose state is `unknown` therefore, or of one that is
   * `paused` since the host has no room for what its guest writes.
   */
  readonly problem?: VmError | undefined
}

/** A job that the host itself keeps, as it was when the host was asked. */
export interface HostJob {
  readonly token: string
  readonly operation: OperationCode
  /** The VM that it works on; absent where it makes one. */
  readonly vm: { readonly id: string; readonly name: string } | undefined
  readonly progress: ProgressUpdate
}

interface OnVm {
  /** The VM's id. */
  readonly vm: string
}

/** What a driver is given for an operation, and what it answers; operations that change the state answer the new one. */
export interface DriverOperationTypes {
  'server.getInfo': { input: Record<string, never>; output: HostInfo }
  'server.getVmList': { input: { readonly filter: VmFilter }; output: readonly VmRecord[] }
  /** An id goes before a name. */
  'server.getVm': { input: { readonly nameOrId: string }; output: VmRecord }
  'server.createVm': { input: { readonly spec: VmSpec }; output: VmRecord }
  'server.registerVm': { input: { readonly path: string }; output: VmRecord }
  'server.getJobs': { input: Record<string, never>; output: readonly HostJob[] }
  /** Follows a job of the host to its end, with progress and cancel, and answers what it led to. */
  'server.attachJob': { input: { readonly token: string }; output: unknown }
  'vm.getState': { input: OnVm; output: VmState }
  'vm.start': { input: OnVm; output: VmState }
  'vm.stop': { input: OnVm & { readonly mode: 'shutdown' | 'kill' }; output: VmState }
  'vm.pause': { input: OnVm; output: VmState }
  'vm.resume': { input: OnVm; output: VmState }
  'vm.suspend': { input: OnVm; output: VmState }
  'vm.reset': { input: OnVm; output: VmState }
  'vm.restart': { input: OnVm; output: VmState }
  'vm.edit': { input: OnVm & { readonly changes: VmChanges }; output: VmRecord }
  'vm.clone': { input: OnVm & { readonly name: string; readonly linked: boolean }; output: VmRecord }
  'vm.delete': { input: OnVm; output: void }
  'vm.unregister': { input: OnVm; output: void }
  'vm.migrate': { input: OnVm & { readonly to: string }; output: void }
  'vm.createSnapshot': { input: OnVm & { readonly name: string; readonly description: string }; output: Snapshot }
  'vm.getSnapshotTree': { input: OnVm; output: readonly SnapshotNode[] }
  'vm.switchToSnapshot': { input: OnVm & { readonly snapshot: string }; output: VmState }
  'vm.deleteSnapshot': { input: OnVm & { readonly snapshot: string }; output: void }
  'vm.getStatistics': { input: OnVm; output: VmStatistics }
  /** A PNG image. */
  'vm.screenshot': { input: OnVm; output: Uint8Array }
  'vm.sendKeys': { input: OnVm & { readonly keys: Keys }; output: void }
  /** The serial console, from the guest's first byte on as far as the host has kept it. */
  'vm.console': { input: OnVm; output: Duplex }
  'guest.exec': {
    input: OnVm & { readonly argv: readonly string[]; readonly options: ExecOptions }
    output: ExecResult
  }
  'guest.getNetworkAddresses': { input: OnVm; output: readonly NetworkAddress[] }
  'guest.copyIn': { input: OnVm & { readonly from: string; readonly to: string }; output: void }
  'guest.copyOut': { input: OnVm & { readonly from: string; readonly to: string }; output: void }
}

export type DriverOperation = keyof DriverOperationTypes

/** The operations that a driver can do: those that are there. */
export type DriverOperations = {
  readonly [O in DriverOperation]?: (
    input: DriverOperationTypes[O]['input'],
    task: Task,
  ) => Promise<DriverOperationTypes[O]['output']>
}

/** What a host may or may not do within an operation, or beside them. */
export type Feature =
  /** `vm.clone({ linked: true })` */
  | 'vm.clone.linked'
  /** `vm.edit` of hardware while the VM runs */
  | 'vm.edit.live'
  /** `server.events()` also tells of what other processes do */
  | 'server.events.global'

/** An operation or a feature, as in `server.capabilities`. */
export type Capability = OperationCode | Feature

/** A connection to one host. It throws `VmError`s and knows nothing of jobs and facades. */
export interface Driver {
  /** `'embedded'`, `'qmp'`, ... */
  readonly name: string
  readonly operations: DriverOperations
  readonly features: ReadonlySet<Feature>
  /** How many operations at once the host takes. */
  readonly maxConcurrentOperations: number
  /** Operations that take no place in line for the host, since all they do is to wait for a guest. */
  readonly waitingOperations?: ReadonlySet<DriverOperation> | undefined
  /** Calls the listener at each event until the returned function is called. */
  subscribe(listener: (event: VmEvent) => void): () => void
  /** Ends what runs in this process and lets go of everything; operations under way end first, with an error. */
  close(): Promise<void>
}
