import type { Duplex } from 'node:stream'
import type { CachedImage } from '../model/cached-image.js'
import type { DiskFileFormat } from '../model/disk-file-format.js'
import type { ImageDownload } from '../model/image-source.js'
import type { GuestEntry, GuestStats } from '../model/guest-file.js'
import type { GuestInfo } from '../model/guest-info.js'
import type { NetworkAddress } from '../model/network-address.js'
import type { HostJob } from '../model/host-job.js'
import type { HostInfo } from '../model/host-info.js'
import type { JsonObject, JsonValue } from '../model/json.js'
import type { Keys } from '../model/keys.js'
import type { Snapshot, SnapshotNode } from '../model/snapshot.js'
import type { VmStatistics } from '../model/statistics.js'
import type { VmEvent } from '../model/vm-event.js'
import type { VmRecord } from '../model/vm-record.js'
import type { VmChanges, VmFilter, VmSpec } from '../model/vm-spec.js'
import type { VmState } from '../model/vm-state.js'
import type { DriverOperation, Feature, operations } from '../operations.js'
import type { GuestInputs, OnVm } from './guest-inputs.js'
import type { ProgramEnd, ProgramIo } from './program-io.js'
import type { Task } from './task.js'

/** What a driver is given for each operation: checked by awaitvm, with defaults filled in. */
export interface DriverInputs extends GuestInputs {
  /** Nothing. */
  'server.getInfo': Record<string, never>
  /** The VMs that are wanted. */
  'server.getVmList': {
    /** An empty filter wants all. */
    readonly filter: VmFilter
  }
  /** The VM that is wanted. */
  'server.getVm': {
    /** An id goes before a name. */
    readonly nameOrId: string
  }
  /** The new VM. */
  'server.createVm': {
    /** The settings of the new VM. */
    readonly spec: VmSpec
  }
  /** A VM that is there already. */
  'server.registerVm': {
    /** The folder of the VM, on the host. */
    readonly path: string
  }
  /** Nothing. */
  'server.getJobs': Record<string, never>
  /** The job that is followed. */
  'server.attachJob': {
    /** What {@link Task.setToken} was called with, possibly in another process. */
    readonly token: string
    /** What passes between the program and its user, if the job is that of a program. */
    readonly io: ProgramIo
    /** Whether the job was only listed. The host then keeps the output and the end of a program for those who attach. */
    readonly isListed: boolean
  }
  /** Nothing. */
  'images.list': Record<string, never>
  /** The image that is wanted. */
  'images.fetch': {
    /** Where it is, and its checksum. */
    readonly image: ImageDownload
  }
  /** The image that is not wanted any more. */
  'images.remove': {
    /** The id of the image in the cache. */
    readonly id: string
  }
  /** The VM. */
  'vm.getState': OnVm
  /** The VM. */
  'vm.start': OnVm
  /** The VM, and how it stops. */
  'vm.stop': OnVm & {
    /** `'shutdown'` asks the guest; `'kill'` takes the power away. */
    readonly mode: 'shutdown' | 'kill'
  }
  /** The VM. */
  'vm.pause': OnVm
  /** The VM. */
  'vm.resume': OnVm
  /** The VM. */
  'vm.suspend': OnVm
  /** The VM. */
  'vm.reset': OnVm
  /** The VM. */
  'vm.restart': OnVm
  /** The VM, and its changes. */
  'vm.edit': OnVm & {
    /** The settings that change. */
    readonly changes: VmChanges
  }
  /** The VM, and its clone. */
  'vm.clone': OnVm & {
    /** The name of the clone. */
    readonly name: string
    /** Whether the clone shares the disks of the VM, and keeps only what it changes. */
    readonly linked: boolean
    /** Whether the clone goes on from the memory of the VM, or of the snapshot: it is running then. */
    readonly memory: boolean
    /** The id of the snapshot that the clone goes on from; the present moment if absent. */
    readonly snapshot?: string | undefined
    /** Whether the clone ends with this connection. */
    readonly ephemeral: boolean
  }
  /** The VM, and the disk. */
  'vm.exportDisk': OnVm & {
    /** The id of the disk. */
    readonly disk: string
    /** The absolute path of the new file, on the host. */
    readonly path: string
    /** The format of the file. */
    readonly format: DiskFileFormat
    /** Whether the content is compressed, in a format that can be. */
    readonly compress: boolean
  }
  /** The VM. */
  'vm.delete': OnVm
  /** The VM. */
  'vm.unregister': OnVm
  /** The VM, and its new host. */
  'vm.migrate': OnVm & {
    /** The URI of the host that the VM goes to. */
    readonly to: string
  }
  /** The VM, and the new snapshot. */
  'vm.createSnapshot': OnVm & {
    /** The name of the snapshot. */
    readonly name: string
    /** The description of the snapshot. */
    readonly description: string
  }
  /** The VM. */
  'vm.getSnapshotTree': OnVm
  /** The VM, and the snapshot. */
  'vm.switchToSnapshot': OnVm & {
    /** The id of the snapshot. */
    readonly snapshot: string
  }
  /** The VM, and the snapshot. */
  'vm.deleteSnapshot': OnVm & {
    /** The id of the snapshot. */
    readonly snapshot: string
  }
  /** The VM. */
  'vm.getStatistics': OnVm
  /** The VM. */
  'vm.screenshot': OnVm
  /** The VM, and the keys. */
  'vm.sendKeys': OnVm & {
    /** What is typed. */
    readonly keys: Keys
  }
  /** The VM. */
  'vm.console': OnVm
  /** The VM, and the command. */
  'native.qmp': OnVm & {
    /** The name of the command. Those that awaitvm keeps to itself are refused before. */
    readonly command: string
    /** Its arguments; empty if it has none. */
    readonly arguments: JsonObject
  }
}

/** What a driver answers, for each kind of answer in the table of operations. */
export interface DriverAnswers {
  /** The host. */
  hostInfo: HostInfo
  /** The VM that was found, made or edited. */
  vm: VmRecord
  /** The VMs that match the filter. */
  vms: readonly VmRecord[]
  /** The jobs under way that the host keeps, but for those of this connection. */
  jobs: readonly HostJob[]
  /** The answer of the operation of the job that was followed to its end. */
  outcome: unknown
  /** The state that the operation led to. */
  state: VmState
  /** The snapshot that was made. */
  snapshot: Snapshot
  /** The snapshots without a parent, each with those made on top of it. */
  snapshots: readonly SnapshotNode[]
  /** What the VM uses at present. */
  statistics: VmStatistics
  /** A PNG image. */
  image: Uint8Array
  /** The image that was fetched. */
  cachedImage: CachedImage
  /** All images in the cache. */
  cachedImages: readonly CachedImage[]
  /** The serial console, from the guest's first byte on as far as the host has kept it. */
  console: Duplex
  /** How the program ended. */
  program: ProgramEnd
  /** The addresses of the guest. */
  addresses: readonly NetworkAddress[]
  /** What is in the folder, in any order. */
  entries: readonly GuestEntry[]
  /** The file of that name; `undefined` if it does not exist. */
  stats: GuestStats | undefined
  /** The guest. */
  guestInfo: GuestInfo
  /** What the host itself answered. */
  json: JsonValue
  /** Nothing. */
  nothing: void
}

type OperationTypes = {
  [O in DriverOperation]: { input: DriverInputs[O]; output: DriverAnswers[(typeof operations)[O]['answers']] }
}

/**
 * What a driver is given for an operation, and what it answers: see {@link DriverInputs} and {@link DriverAnswers}.
 *
 * @hidden
 */
// An interface, since the compiler takes an index of a mapped type apart in generic code.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface DriverOperationTypes extends OperationTypes {}

/** The operations that a driver implements. One that is absent ends with a `NotSupportedError`. */
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
  /** Operations that take no place in line, because they only wait for a guest. */
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
