import { VmConsole } from '../../console/vm-console.js'
import type { Driver, DriverInputs, DriverOperations, DriverOperationTypes } from '../../driver/driver.js'
import { HostWork } from '../../driver/host-work.js'
import { imageOperations } from '../../driver/image-operations.js'
import { hasNewImages, withLocalImages } from '../../driver/local-images.js'
import { Listeners } from '../../driver/listeners.js'
import type { Task } from '../../driver/task.js'
import { thisMachine } from '../../driver/this-machine.js'
import { vmNotFound } from '../../errors/lookup.js'
import { statesToClone } from '../../errors/state.js'
import { guestOperations } from '../../guest/guest-operations.js'
import { keyScancodes } from '../../keyboard/key-scancodes.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type Feature } from '../../operations.js'
import { DamagedVm } from '../../registry/damaged-vm.js'
import { configOf } from '../../registry/kept-definition.js'
import { VmRecords } from '../../registry/vm-records.js'
import type { Definition } from './definition.js'
import { EmbeddedAccess, liveOnly, type ChangeAction, type LiveAction } from './embedded-access.js'
import { EmbeddedClaims } from './embedded-claims.js'
import { embeddedError } from './embedded-errors.js'
import { EmbeddedLifecycle } from './embedded-lifecycle.js'
import { EmbeddedProvisioning } from './embedded-provisioning.js'
import { EmbeddedShutdown } from './embedded-shutdown.js'
import { EmbeddedSnapshots } from './embedded-snapshots.js'
import { EmbeddedTwins, type Twin } from './embedded-twins.js'
import type { EmbeddedStore } from './embedded-store.js'
import { emulatorVersion } from './emulator-version.js'
import { exportDisk } from './export-disk.js'
import { refuseUnsupported } from './hardware.js'
import type { LiveVm } from './live-vm.js'
import { inGuest } from './guest-port/guest-access.js'
import { MachineThread } from './machine/machine-thread.js'
import { screenshotPng } from './machine/screenshot-png.js'

/** The processors limit how many machines load at once; more calls than this would only hold memory. */
const maxConcurrentOperations = 64

/** VMs inside this process: v86, one worker thread each. */
export class EmbeddedDriver implements Driver {
  readonly name = 'embedded'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly features: ReadonlySet<Feature>
  readonly operations: DriverOperations
  readonly #store: EmbeddedStore
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly #work = new HostWork((error, task) => this.#access.explain(error, task))
  readonly #claims: EmbeddedClaims
  readonly #lifecycle: EmbeddedLifecycle
  readonly #access: EmbeddedAccess
  readonly #provisioning: EmbeddedProvisioning
  readonly #twins: EmbeddedTwins
  readonly #records: VmRecords<Definition>

  constructor(store: EmbeddedStore, features: readonly Feature[]) {
    this.#store = store
    this.features = new Set(features)
    const claims = new EmbeddedClaims(store)
    const lifecycle = new EmbeddedLifecycle({ store, claims, emit: this.#listeners.emit, closing: this.#work.closing })
    this.#claims = claims
    this.#lifecycle = lifecycle
    this.#access = new EmbeddedAccess(store, claims, lifecycle)
    this.#provisioning = new EmbeddedProvisioning(store, claims)
    this.#twins = new EmbeddedTwins(store, claims, lifecycle)
    this.#records = new VmRecords({
      store,
      describe: async (definition) => {
        const state = await claims.stateOf(definition)
        return { state, config: configOf(definition, false), problem: lifecycle.live(definition.id)?.problem }
      },
      configOf: (definition) => configOf(definition, false),
      explain: embeddedError,
    })
    this.operations = {
      ...this.#hostOperations(),
      ...imageOperations(this.#work, store),
      ...this.#stateOperations(),
      ...this.#vmOperations(),
      ...guestOperations({ use: (vm, task, action) => this.#use(vm, task, inGuest(action)) }),
    }
  }

  async close(): Promise<void> {
    const ended = this.#work.close()
    await this.#lifecycle.close()
    await ended
    await MachineThread.close()
    await this.#store.close()
  }

  #hostOperations(): DriverOperations {
    return {
      'server.getInfo': async () => ({
        ...thisMachine(),
        driver: this.name,
        hypervisor: 'v86',
        version: emulatorVersion(),
        guestArchitecture: 'i686',
      }),
      'server.getVmList': ({ filter }, task) => this.#work.query(task, () => this.#records.list(filter)),
      'server.getVm': ({ nameOrId }, task) => this.#work.query(task, () => this.#records.find(nameOrId)),
      'server.createVm': ({ spec }, task) =>
        this.#work.change(task, async (sending) =>
          this.#told('created', await this.#provisioning.create(spec, task, sending)),
        ),
    }
  }

  #stateOperations(): DriverOperations {
    const lifecycle = this.#lifecycle
    const shutdown = new EmbeddedShutdown({ access: this.#access, claims: this.#claims, lifecycle })
    const { fromKill } = operations['vm.stop']
    return {
      'vm.getState': ({ vm }, task) =>
        this.#work.query(task, async () => this.#claims.stateOf(await this.#access.get(vm))),
      'vm.start': ({ vm }, task) => this.#change(vm, task, (definition) => lifecycle.powerOn(definition, task)),
      'vm.stop': ({ vm, mode }, task) =>
        mode === 'kill'
          ? this.#change(vm, task, (definition, live) => lifecycle.kill(definition, live), fromKill)
          : this.#work.change(task, (sending) => shutdown.stop(vm, task, sending)),
      'vm.pause': ({ vm }, task) => this.#changeLive(vm, task, (live, definition) => lifecycle.pause(live, definition)),
      'vm.resume': ({ vm }, task) =>
        this.#change(vm, task, (definition, live) => lifecycle.resume(definition, live, task)),
      'vm.suspend': ({ vm }, task) =>
        this.#changeLive(vm, task, (live, definition) => lifecycle.suspend(live, definition, task)),
      'vm.reset': ({ vm }, task) => this.#changeLive(vm, task, (live, definition) => lifecycle.reset(live, definition)),
      'vm.restart': ({ vm }, task) => this.#work.change(task, (sending) => shutdown.restart(vm, task, sending)),
    }
  }

  #vmOperations(): DriverOperations {
    const snapshots = new EmbeddedSnapshots(this.#store, this.#claims, this.#lifecycle)
    const parts = { store: this.#store, claims: this.#claims, closing: this.#work.closing }
    return {
      'vm.edit': ({ vm, changes: wanted }, task) =>
        this.#work.change(task, async (sending) => {
          refuseUnsupported(wanted, 'changes')
          const changes = hasNewImages(wanted)
            ? await withLocalImages(wanted, 'changes', { task, signal: sending.signal, vms: this.#store.vms })
            : wanted
          return await this.#access.change(vm, task, sending, async (definition, live) =>
            this.#told('config', await this.#provisioning.edit(definition, live, changes)),
          )
        }),
      'vm.clone': (input, task) =>
        input.memory
          ? this.#cloneWithMemory(input, task)
          : this.#change(input.vm, task, async (definition, live) =>
              this.#told('created', await this.#provisioning.clone(definition, live, input)),
            ),
      'vm.exportDisk': (input, task) =>
        this.#change(input.vm, task, (definition, live) => exportDisk(parts, definition, live, input, task)),
      'vm.delete': ({ vm }, task) => this.#delete(vm, task),
      'vm.createSnapshot': ({ vm, ...details }, task) =>
        this.#changeSnapshots(vm, task, (definition, live) => snapshots.create(definition, live, details, task)),
      'vm.getSnapshotTree': ({ vm }, task) =>
        this.#work.query(task, async () => snapshots.tree(await this.#access.get(vm))),
      'vm.switchToSnapshot': ({ vm, snapshot }, task) =>
        this.#changeSnapshots(vm, task, (definition, live) => snapshots.switchTo(definition, live, snapshot, task)),
      'vm.deleteSnapshot': ({ vm, snapshot }, task) =>
        this.#changeSnapshots(vm, task, (definition, live) => snapshots.delete(definition, live, snapshot)),
      'vm.getStatistics': ({ vm }, task) => this.#use(vm, task, statistics),
      'vm.screenshot': ({ vm }, task) =>
        this.#use(vm, task, async ({ machine }) => screenshotPng(await machine.screenshot())),
      'vm.sendKeys': ({ vm, keys }, task) =>
        this.#use(vm, task, ({ machine }) => machine.sendScancodes(keyScancodes(keys))),
      'vm.console': ({ vm }, task) =>
        this.#use(vm, task, async (live) => new VmConsole(this.name, live.console, (bytes) => live.type(bytes))),
    }
  }

  #change<T>(vm: string, task: Task, action: ChangeAction<T>, expected?: readonly VmState[]): Promise<T> {
    return this.#work.change(task, (sending) => this.#access.change(vm, task, sending, action, expected))
  }

  #changeLive<T>(vm: string, task: Task, action: LiveAction<T>): Promise<T> {
    return this.#change(vm, task, liveOnly(action))
  }

  #changeSnapshots<T>(vm: string, task: Task, action: ChangeAction<T>): Promise<T> {
    return this.#change(vm, task, async (definition, live) => {
      const answer = await action(definition, live)
      this.#tell('snapshots', definition)
      return answer
    })
  }

  #use<T>(vm: string, task: Task, action: LiveAction<T>): Promise<T> {
    return this.#work.change(task, (sending) => this.#access.use(vm, task, sending, action))
  }

  /** Makes a clone, and runs it while others are made. One that does not run is removed. */
  #cloneWithMemory(input: DriverInputs['vm.clone'], task: Task): Promise<VmRecord> {
    return this.#work.change(task, async (sending) => {
      const make: ChangeAction<Twin> = (definition, live) => this.#twins.make(definition, live, input, task)
      const twin = await this.#access.change(input.vm, task, sending, make, statesToClone(input))
      const { definition } = twin
      this.#tell('created', definition)
      try {
        await this.#twins.run(twin, task)
      } catch (error) {
        // Its folder may have been removed since.
        if ((await this.#store.get(definition.id)) !== undefined) {
          await this.#lifecycle.exclusively(definition.id, () => this.#provisioning.delete(definition))
          this.#tell('deleted', definition)
        }
        throw error
      }
      return this.#records.of(await this.#access.get(definition.id))
    })
  }

  /** Deletes a VM, even if its definition can't be read. */
  #delete(vm: string, task: Task): Promise<void> {
    return this.#work.change(task, ({ send }) =>
      this.#access.alone(vm, task, async () => {
        const found = await this.#store.find(vm)
        if (found === undefined) throw vmNotFound(vm)
        const isDamaged = found instanceof DamagedVm
        if (!isDamaged) await this.#access.requireState(found, task)
        send()
        await (isDamaged ? this.#store.deleteDamaged(vm) : this.#provisioning.delete(found))
        this.#tell('deleted', found)
      }),
    )
  }

  #told(type: 'created' | 'config', definition: Definition): Promise<VmRecord> {
    this.#tell(type, definition)
    return this.#records.of(definition)
  }

  #tell(type: 'created' | 'deleted' | 'config' | 'snapshots', { id, name }: Pick<Definition, 'id' | 'name'>): void {
    this.#listeners.emit({ type, vmId: id, name, at: new Date() })
  }
}

async function statistics(
  live: LiveVm,
  { hardware }: Definition,
): Promise<DriverOperationTypes['vm.getStatistics']['output']> {
  const { cpuTimeMs, diskReadBytes, diskWriteBytes } = await live.machine.statistics()
  return {
    takenAt: new Date(),
    uptimeMs: performance.now() - live.startedAt,
    ...(cpuTimeMs !== undefined && { cpuTimeMs }),
    memoryMiB: hardware.memoryMiB,
    diskReadBytes,
    diskWrittenBytes: diskWriteBytes,
  }
}
