import type { Duplex } from 'node:stream'
import type { ExecOptions, ExecResult, NetworkAddress } from '../model/exec.js'
import type { HostJob } from '../model/host-job.js'
import type { HostInfo } from '../model/host-info.js'
import type { Keys } from '../model/keys.js'
import type { Snapshot, SnapshotNode } from '../model/snapshot.js'
import type { VmStatistics } from '../model/statistics.js'
import type { VmEvent } from '../model/vm-event.js'
import type { VmRecord } from '../model/vm-record.js'
import type { VmChanges, VmFilter, VmSpec } from '../model/vm-spec.js'
import type { VmState } from '../model/vm-state.js'
import type { Capability, DriverOperation, Feature, operations } from '../operations.js'
import type { Task } from './task.js'

export type { Capability, DriverOperation, Feature }

interface OnVm {
  /** The id of the VM. */
  readonly vm: string
}

/** What a driver is given for each operation. */
interface DriverInputs {
  'server.getInfo': Record<string, never>
  'server.getVmList': { readonly filter: VmFilter }
  /** An id goes before a name. */
  'server.getVm': { readonly nameOrId: string }
  'server.createVm': { readonly spec: VmSpec }
  'server.registerVm': { readonly path: string }
  'server.getJobs': Record<string, never>
  'server.attachJob': { readonly token: string }
  'vm.getState': OnVm
  'vm.start': OnVm
  'vm.stop': OnVm & { readonly mode: 'shutdown' | 'kill' }
  'vm.pause': OnVm
  'vm.resume': OnVm
  'vm.suspend': OnVm
  'vm.reset': OnVm
  'vm.restart': OnVm
  'vm.edit': OnVm & { readonly changes: VmChanges }
  'vm.clone': OnVm & { readonly name: string; readonly linked: boolean }
  'vm.delete': OnVm
  'vm.unregister': OnVm
  'vm.migrate': OnVm & { readonly to: string }
  'vm.createSnapshot': OnVm & { readonly name: string; readonly description: string }
  'vm.getSnapshotTree': OnVm
  'vm.switchToSnapshot': OnVm & { readonly snapshot: string }
  'vm.deleteSnapshot': OnVm & { readonly snapshot: string }
  'vm.getStatistics': OnVm
  'vm.screenshot': OnVm
  'vm.sendKeys': OnVm & { readonly keys: Keys }
  'vm.console': OnVm
  'guest.exec': OnVm & { readonly argv: readonly string[]; readonly options: ExecOptions }
  'guest.getNetworkAddresses': OnVm
  'guest.copyIn': OnVm & { readonly from: string; readonly to: string }
  'guest.copyOut': OnVm & { readonly from: string; readonly to: string }
}

/** What a driver answers, for each kind of answer in the table of operations. */
export interface DriverAnswers {
  hostInfo: HostInfo
  vm: VmRecord
  vms: readonly VmRecord[]
  jobs: readonly HostJob[]
  /** What a job of the host that was followed to its end has led to: the answer of the job's own operation. */
  outcome: unknown
  /** The state that the operation led to. */
  state: VmState
  snapshot: Snapshot
  /** The snapshots without a parent, each with those made on top of it. */
  snapshots: readonly SnapshotNode[]
  statistics: VmStatistics
  /** A PNG image. */
  image: Uint8Array
  /** The serial console, from the guest's first byte on as far as the host has kept it. */
  console: Duplex
  program: ExecResult
  addresses: readonly NetworkAddress[]
  nothing: void
}

type OperationTypes = {
  [O in DriverOperation]: { input: DriverInputs[O]; output: DriverAnswers[(typeof operations)[O]['answers']] }
}

/** What a driver is given for an operation, and what it answers. */
// An interface, since the compiler takes an index of a mapped type apart in generic code.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface DriverOperationTypes extends OperationTypes {}

/** The operations that a driver can do: those that are there. */
export type DriverOperations = {
  readonly [O in DriverOperation]?: (
    input: DriverOperationTypes[O]['input'],
    task: Task,
  ) => Promise<DriverOperationTypes[O]['output']>
}

/**
 * A connection to one host. Its operations throw `VmError`s and know nothing of jobs and facades; any other error becomes a
 * `HostError`. What they answer is checked, and an answer that is not as the table of operations says ends the job with a
 * `ProtocolError`.
 *
 * @example
 * ```ts
 * import { Listeners, type Driver } from 'awaitvm/driver'
 *
 * declare const host: { list(): Promise<{ id: string; name: string; isOn: boolean }[]>; start(id: string): Promise<void> }
 *
 * const listeners = new Listeners()
 * const driver: Driver = {
 *   name: 'mine',
 *   operations: {
 *     'server.getVmList': async () =>
 *       (await host.list()).map(({ id, name, isOn }) => ({
 *         id,
 *         state: isOn ? 'running' : 'stopped',
 *         config: {
 *           name,
 *           description: '',
 *           cpus: 1,
 *           memoryMiB: 512,
 *           disks: [],
 *           cdroms: [],
 *           floppies: [],
 *           boot: {},
 *           createdAt: new Date(0),
 *         },
 *       })),
 *     'vm.start': async ({ vm }) => {
 *       await host.start(vm)
 *       return 'running'
 *     },
 *   },
 *   features: new Set(),
 *   maxConcurrentOperations: 4,
 *   subscribe: listeners.subscribe,
 *   close: async () => undefined,
 * }
 * ```
 */
export interface Driver {
  /** `'embedded'`, `'qmp'`, ...: `server.driver`, and in messages. */
  readonly name: string
  /**
   * What the host can do; the capabilities of the server are derived from it. A driver with `server.getVmList` needs neither
   * `server.getVm` nor `vm.getState`, and need not apply the filter.
   */
  readonly operations: DriverOperations
  /** What the host can do within an operation, or beside them. */
  readonly features: ReadonlySet<Feature>
  /** How many operations at once the host takes; further ones wait in line. */
  readonly maxConcurrentOperations: number
  /** Operations that take no place in line for the host, since all they do is to wait for a guest. */
  readonly waitingOperations?: ReadonlySet<DriverOperation> | undefined
  /**
   * The driver refuses a VM in another state than the table of operations says, in one step with the operation itself. Without this,
   * `vm.getState` is asked first, and the operation is called only if the state is one of those.
   */
  readonly checksStates?: boolean | undefined
  /** Calls the listener at each event until the returned function is called. */
  subscribe(listener: (event: VmEvent) => void): () => void
  /** Ends what runs in this process, with an error for each operation under way, and frees all resources. It has 30 seconds. */
  close(): Promise<void>
}
