import type { VmConfig } from '../../model/vm-config.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import type { VmSpec } from '../../model/vm-spec.js'
import { keepAdapters, macAddressOf } from '../../network/kept-adapter.js'
import { CallLog } from './call-log.js'
import type { HostClock } from './clock.js'
import { FaultList } from './fault-list.js'
import type { ExecHandler } from './guest-program.js'
import type { QmpHandler } from './qmp-handler.js'
import { JobKeeper } from './job-keeper.js'
import type { Latency } from './latency.js'
import { SimulatedLifecycle } from './simulated-lifecycle.js'
import { configOf, withAdapters } from './provisioning.js'
import { Random } from './random.js'
import { SimulatedVm, type VmContent } from './simulated-vm.js'
import { SimulatedVmStore } from './simulated-vm-store.js'
import type { Capability } from '../../operations.js'

/** The settings of a simulated host. */
export interface HostSettings {
  readonly uri: string
  readonly seed: number
  readonly clock: HostClock
  readonly latency: Latency
  readonly faults: readonly unknown[]
  readonly maxCalls: number
  /** `'local'`: images and kernels must be on this machine. `'assumed'`: they are taken to be on the host. */
  readonly files: 'local' | 'assumed'
  /** True if an agent answers in the guest of a VM with these settings. */
  readonly hasAgent: (config: VmConfig) => boolean
  /** The operations and features that the host does not offer. */
  readonly without: ReadonlySet<Capability>
}

/** A connection, as its host knows it. */
export interface HostConnection {
  /** False if the connection need not be told of events. */
  readonly isListening: boolean
  /** @param by who made the change: a connection, another client, or nobody */
  hear(event: VmEvent, by: HostConnection | 'another' | undefined): void
}

/** A simulated host: what its connections share. */
export class SimulatedHost {
  readonly uri: string
  readonly clock: HostClock
  readonly latency: Latency
  readonly files: 'local' | 'assumed'
  readonly hasAgent: (config: VmConfig) => boolean
  readonly without: ReadonlySet<Capability>
  readonly store = new SimulatedVmStore()
  readonly jobs = new JobKeeper()
  /** The images that were fetched, by id, with where they are from. */
  readonly images = new Map<string, string>()
  readonly faults: FaultList
  readonly calls: CallLog
  readonly lifecycle: SimulatedLifecycle
  /** Draws latencies. */
  readonly random: Random
  readonly #ids: Random
  readonly #diskIds: Random
  readonly #connections = new Set<HostConnection>()
  /** Runs programs in all guests without a handler of their own. */
  execHandler: ExecHandler | undefined
  /** Answers the commands of `vm.native.qmp`. */
  qmpHandler: QmpHandler | undefined
  #lastNumber = 0
  /** Who makes the change that is being made now. */
  #acting: HostConnection | 'another' | undefined

  constructor(settings: HostSettings) {
    const { seed } = settings
    this.uri = settings.uri
    this.clock = settings.clock
    this.latency = settings.latency
    this.files = settings.files
    this.hasAgent = settings.hasAgent
    this.without = settings.without
    this.random = Random.of(seed, 'latency')
    this.#ids = Random.of(seed, 'ids')
    this.#diskIds = Random.of(seed, 'disk ids')
    this.faults = new FaultList(seed, settings.faults, 'options.faults')
    this.calls = new CallLog(settings.maxCalls)
    this.lifecycle = new SimulatedLifecycle(this.store, this.clock, (makeEvent) => {
      this.#emit(makeEvent)
    })
  }

  connected(connection: HostConnection): void {
    this.#connections.add(connection)
    this.clock.resume()
  }

  disconnected(connection: HostConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.clock.suspend()
  }

  newId(): string {
    return this.#ids.uuid()
  }

  readonly newDiskId = (): string => this.#diskIds.uuid()

  readonly newInstanceId = (): string => this.newId()

  readonly newMacAddress = (): string => macAddressOf(this.newId())

  /** Makes a VM without adding it to the host. */
  newVm(content: { config: VmContent['config'] } & Partial<VmContent>): SimulatedVm {
    this.#lastNumber += 1
    const id = this.newId()
    const { networkAdapters = [] } = content.config
    const isAlone = networkAdapters.length === 0
    const whole = isAlone ? content : withAdapters(content, keepAdapters(networkAdapters, [], this.newMacAddress))
    return new SimulatedVm(id, this.#lastNumber, whole)
  }

  /** Adds a VM of another host, with all that belongs to it except its machine. It keeps its id if that is free. */
  adopt({ id, content, snapshots, currentSnapshot, memory, handlers }: SimulatedVm): SimulatedVm {
    this.#lastNumber += 1
    const vm = new SimulatedVm(this.store.find(id) === undefined ? id : this.newId(), this.#lastNumber, content)
    vm.snapshots = snapshots
    vm.currentSnapshot = currentSnapshot
    vm.memory = memory
    vm.handlers = handlers
    this.store.add(vm)
    return vm
  }

  /** Adds a VM in a settled state, as it is there before any connection. */
  addVm(spec: VmSpec, state: VmState): void {
    const vm = this.newVm({ config: { ...configOf(spec, this), createdAt: new Date(this.clock.now) } })
    this.store.add(vm)
    if (state === 'running' || state === 'paused') vm.machine = this.lifecycle.newMachine(vm)
    if (state === 'paused') vm.machine?.pause()
    if (state === 'suspended') vm.memory = this.lifecycle.newMachine(vm).memory
    vm.state = state
  }

  /** Notes whose a VM is, if it is ephemeral. It ends at once if that connection was closed while it was being made. */
  setOwner(vm: SimulatedVm, by: HostConnection | undefined): void {
    vm.owner = by
    if (by !== undefined && !this.#connections.has(by)) this.deleteEphemeral(by)
  }

  /** Deletes the VMs that end with a connection, whatever they do. */
  deleteEphemeral(by: HostConnection): void {
    const left = [...this.store.list()].filter(({ config, owner }) => config.ephemeral === true && owner === by)
    this.as(by, () => {
      for (const vm of left) this.lifecycle.interfere(vm, 'delete')
    })
  }

  /** Makes a change in the name of a connection, of another client, or of nobody. Connections that hear of it are told who made it. */
  as<T>(by: HostConnection | 'another' | undefined, action: () => T): T {
    const before = this.#acting
    this.#acting = by
    try {
      return action()
    } finally {
      this.#acting = before
    }
  }

  #emit(makeEvent: () => VmEvent): void {
    let event: VmEvent | undefined
    for (const connection of this.#connections) {
      if (connection.isListening) connection.hear((event ??= makeEvent()), this.#acting)
    }
  }
}
