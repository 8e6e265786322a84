import { availableParallelism, freemem, hostname, totalmem } from 'node:os'
import type { Driver, DriverOperations, DriverOperationTypes, Feature } from '../../driver/driver.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { Task } from '../../driver/task.js'
import { vmNotFound, unlessDeleted } from '../../errors/lookup.js'
import { goneMeanwhile, invalidState, requireState, stoppedMeanwhile } from '../../errors/state.js'
import { HostWork, type Sending } from '../../driver/host-work.js'
import { Listeners } from '../../driver/listeners.js'
import type { HostInfo } from '../../model/host-info.js'
import type { VmState } from '../../model/vm-state.js'
import type { VmError } from '../../errors.js'
import { operations } from '../../operations.js'
import { DamagedVm, problemOf } from '../../registry/damaged-vm.js'
import type { Definition } from './definition.js'
import { configOf, stateAtRest, withoutRest } from '../../registry/kept-definition.js'
import { embeddedError, nativeError } from './embedded-errors.js'
import { emulatorVersion } from './emulator-version.js'
import { keyScancodes } from '../../keyboard/key-scancodes.js'
import type { LiveVm } from './live-vm.js'
import { isGone } from './machine/is-gone.js'
import { MachineCrashedError, MachineTerminatedError, MachineThread } from './machine/machine-thread.js'
import { screenshotPng } from './machine/screenshot-png.js'
import { VmProvisioning } from './provisioning.js'
import { VmSnapshots } from './snapshots.js'
import type { VmStore } from './store.js'
import { VmConsole } from '../../console/vm-console.js'
import { VmLifecycle } from './vm-lifecycle.js'
import { typeInto } from './type-into.js'
import { withdrawable } from './withdrawable.js'

type Input<O extends keyof DriverOperationTypes> = DriverOperationTypes[O]['input']
type Output<O extends keyof DriverOperationTypes> = DriverOperationTypes[O]['output']

/** Machines load at once as far as the processors go; more calls than this would only hold memory. */
const maxConcurrentOperations = 64

/** VMs inside this process: v86, one worker thread each. */
export class EmbeddedDriver implements Driver {
  readonly name = 'embedded'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly features: ReadonlySet<Feature>
  readonly #store: VmStore
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly #work = new HostWork((error, task) => this.#explain(error, task))
  readonly #lifecycle: VmLifecycle
  readonly #provisioning: VmProvisioning
  readonly #snapshots: VmSnapshots

  constructor(store: VmStore, features: readonly Feature[]) {
    this.#store = store
    this.features = new Set(features)
    this.#lifecycle = new VmLifecycle(store, this.#listeners.emit)
    this.#provisioning = new VmProvisioning(store, this.#lifecycle)
    this.#snapshots = new VmSnapshots(store, this.#lifecycle)
  }

  readonly operations: DriverOperations = {
    'server.getInfo': async () => this.#getInfo(),
    'server.getVmList': ({ filter }, task) => this.#work.query(task, () => this.#list(filter)),
    'server.getVm': ({ nameOrId }, task) => this.#work.query(task, () => this.#find(nameOrId)),
    'server.createVm': ({ spec }, task) =>
      this.#work.change(task, async ({ send }) => {
        send()
        return this.#told('created', await this.#provisioning.create(spec))
      }),
    'vm.getState': ({ vm }, task) => this.#work.query(task, async () => this.#lifecycle.stateOf(await this.#get(vm))),
    'vm.start': ({ vm }, task) => this.#change(vm, task, (definition) => this.#lifecycle.powerOn(definition, task)),
    'vm.stop': ({ vm, mode }, task) =>
      mode === 'kill' ? this.#kill(vm, task) : this.#work.change(task, (sending) => this.#stop(vm, task, sending)),
    'vm.pause': ({ vm }, task) => this.#withLive(vm, task, (live, definition) => this.#pause(live, definition)),
    'vm.resume': ({ vm }, task) => this.#change(vm, task, (definition, live) => this.#resume(definition, live, task)),
    'vm.suspend': ({ vm }, task) =>
      this.#withLive(vm, task, (live, definition) => this.#lifecycle.suspend(live, definition, task)),
    'vm.reset': ({ vm }, task) => this.#withLive(vm, task, (live, definition) => this.#reset(live, definition)),
    'vm.restart': ({ vm }, task) => this.#work.change(task, (sending) => this.#restart(vm, task, sending)),
    'vm.edit': ({ vm, changes }, task) =>
      this.#change(vm, task, async (definition, live) =>
        this.#told('config', await this.#provisioning.edit(definition, live, changes)),
      ),
    'vm.clone': ({ vm, name }, task) =>
      this.#change(vm, task, async (definition, live) =>
        this.#told('created', await this.#provisioning.clone(definition, live, name)),
      ),
    'vm.delete': ({ vm }, task) => this.#work.change(task, (sending) => this.#delete(vm, task, sending)),
    'vm.createSnapshot': ({ vm, ...details }, task) =>
      this.#change(vm, task, async (definition, live) => {
        const snapshot = await this.#snapshots.create(definition, live, details, task)
        this.#tell('snapshots', definition)
        return snapshot
      }),
    'vm.getSnapshotTree': ({ vm }, task) =>
      this.#work.query(task, async () => this.#snapshots.tree(await this.#get(vm))),
    'vm.switchToSnapshot': ({ vm, snapshot }, task) =>
      this.#change(vm, task, async (definition, live) => {
        const state = await this.#snapshots.switchTo(definition, live, snapshot, task)
        this.#tell('snapshots', definition)
        return state
      }),
    'vm.deleteSnapshot': ({ vm, snapshot }, task) =>
      this.#change(vm, task, async (definition, live) => {
        await this.#snapshots.delete(definition, live, snapshot)
        this.#tell('snapshots', definition)
      }),
    'vm.getStatistics': ({ vm }, task) => this.#use(vm, task, (live, definition) => this.#statistics(live, definition)),
    'vm.screenshot': ({ vm }, task) =>
      this.#use(vm, task, async (live) => screenshotPng(await live.machine.screenshot())),
    'vm.sendKeys': ({ vm, keys }, task) =>
      this.#use(vm, task, (live) => live.machine.sendScancodes(keyScancodes(keys))),
    'vm.console': ({ vm }, task) =>
      this.#use(vm, task, async (live) => new VmConsole(this.name, live.console, (bytes) => typeInto(live, bytes))),
  }

  async close(): Promise<void> {
    const ended = this.#work.close()
    await this.#lifecycle.close()
    await ended
    await MachineThread.close()
    await this.#store.close()
  }

  async #getInfo(): Promise<HostInfo> {
    const mebibyte = 2 ** 20
    return {
      driver: this.name,
      hostName: hostname(),
      hypervisor: 'v86',
      version: emulatorVersion(),
      cpus: availableParallelism(),
      memoryMiB: Math.floor(totalmem() / mebibyte),
      freeMemoryMiB: Math.floor(freemem() / mebibyte),
      guestArchitecture: 'i686',
    }
  }

  async #list({ name, state }: Input<'server.getVmList'>['filter']): Promise<VmRecord[]> {
    const records: VmRecord[] = []
    for (const found of await this.#store.list()) {
      if (name !== undefined && found.name !== name) continue
      const record = await this.#record(found)
      if (state === undefined || record.state === state) records.push(record)
    }
    return records
  }

  async #pause(live: LiveVm, definition: Definition): Promise<VmState> {
    await live.machine.pause()
    await this.#lifecycle.setState(live, definition, 'paused')
    return live.state
  }

  async #resume(definition: Definition, live: LiveVm | undefined, task: Task): Promise<VmState> {
    if (live === undefined) return this.#lifecycle.powerOn(definition, task)
    await live.resume()
    await this.#lifecycle.setState(live, definition, 'running')
    return live.state
  }

  async #reset(live: LiveVm, definition: Definition): Promise<VmState> {
    await live.machine.reset()
    await live.resume()
    if (live.state !== 'running') await this.#lifecycle.setState(live, definition, 'running')
    return live.state
  }

  async #kill(vm: string, task: Task): Promise<VmState> {
    return this.#change(
      vm,
      task,
      async (definition, live) => {
        if (live !== undefined) return this.#lifecycle.kill(live, definition)
        return this.#lifecycle.withLease(definition, async (): Promise<VmState> => {
          await this.#store.save(withoutRest(definition))
          this.#lifecycle.tell(definition, 'stopped', stateAtRest(definition))
          return 'stopped'
        })
      },
      operations['vm.stop'].fromKill,
    )
  }

  async #stop(vm: string, task: Task, sending: Sending): Promise<VmState> {
    await this.#shutDown(vm, task, sending)
    return 'stopped'
  }

  /**
   * Presses the power button, and waits until the VM is stopped, by whatever cause. Others may do things to it meanwhile.
   * Answers the VM as it was.
   */
  async #shutDown(
    vm: string,
    task: Task,
    sending: Sending,
    check?: (definition: Definition) => Promise<unknown>,
  ): Promise<LiveVm> {
    const press = async (
      live: LiveVm,
      definition: Definition,
    ): Promise<{ live: LiveVm; withdrawal: Promise<never> }> => {
      await check?.(definition)
      // From before the press: whoever cancels meanwhile is not to be told that nothing had been done.
      const withdrawal = withdrawable(live, task)
      try {
        await live.machine.pressPowerButton()
      } catch (error) {
        // A guest that has gone meanwhile needs no button.
        if (!isGone(error)) throw error
      }
      return { live, withdrawal }
    }
    const { live, withdrawal } = await this.#alone(vm, task, sending, liveOnly(press))
    task.progress({ percent: 10, phase: 'waiting for the guest' })
    await Promise.race([this.#lifecycle.ended(live), withdrawal])
    // The close has taken the power away.
    if (this.#work.isClosed && !live.hasShutDown) throw new MachineTerminatedError()
    const state = await this.#lifecycle.stateOf(await this.#get(vm))
    // Somebody else may have suspended it, or the guest died over its shutting down.
    if (state !== 'stopped') throw invalidState(state, operations['vm.stop'].from)
    return live
  }

  async #restart(vm: string, task: Task, sending: Sending): Promise<VmState> {
    const canComeUp = (definition: Definition): Promise<unknown> => this.#lifecycle.prepare(definition, 'start')
    const { hasShutDown } = await this.#shutDown(vm, task, sending, canComeUp)
    if (!hasShutDown) throw stoppedMeanwhile()
    const { from } = operations['vm.start']
    return this.#alone(vm, task, sending, (definition) => this.#lifecycle.powerOn(definition, task), from)
  }

  async #statistics(live: LiveVm, { hardware }: Definition): Promise<Output<'vm.getStatistics'>> {
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

  /** Changes a VM that is in one of the states that the operation needs, with nobody else at it. */
  #change<T>(vm: string, task: Task, action: Action<T>, expected?: readonly VmState[]): Promise<T> {
    return this.#work.change(task, (sending) => this.#alone(vm, task, sending, action, expected))
  }

  #alone<T>(vm: string, task: Task, { send }: Sending, action: Action<T>, expected?: readonly VmState[]): Promise<T> {
    // Before any waiting: the job can be cancelled from its first moment on, also after it was sent.
    const { signal } = task
    return this.#lifecycle.exclusively(vm, async () => {
      const definition = await this.#get(vm)
      const state = await this.#lifecycle.stateForChange(definition)
      requireState(task.operation, state, expected, this.#lifecycle.live(vm)?.problem)
      signal.throwIfAborted()
      send()
      return action(definition, this.#lifecycle.live(vm))
    })
  }

  /** Deletes a VM, also one whose definition can't be read. */
  #delete(vm: string, task: Task, { send }: Sending): Promise<void> {
    const { signal } = task
    return this.#lifecycle.exclusively(vm, async () => {
      const found = await this.#store.find(vm)
      if (found === undefined) throw vmNotFound(vm)
      const isDamaged = found instanceof DamagedVm
      if (!isDamaged) requireState(task.operation, await this.#lifecycle.stateForChange(found))
      signal.throwIfAborted()
      send()
      await (isDamaged ? this.#store.deleteDamaged(vm) : this.#provisioning.delete(found))
      this.#tell('deleted', found)
    })
  }

  /** A change of a VM that runs in this process. */
  #withLive<T>(vm: string, task: Task, action: (live: LiveVm, definition: Definition) => Promise<T>): Promise<T> {
    return this.#change(vm, task, liveOnly(action))
  }

  /** Looks at a VM that runs in this process, or sends it something, whatever else is being done to it. */
  #use<T>(vm: string, task: Task, action: (live: LiveVm, definition: Definition) => Promise<T>): Promise<T> {
    return this.#work.change(task, async ({ send }) => {
      const definition = await this.#get(vm)
      const state = await this.#lifecycle.stateForChange(definition)
      const live = this.#lifecycle.live(vm)
      requireState(task.operation, state, undefined, live?.problem)
      if (live === undefined) throw invalidState(state, ['running'])
      send()
      return action(live, definition)
    })
  }

  async #explain(error: unknown, task: Task | undefined): Promise<VmError> {
    // The guest has gone while something was being done to it.
    if (error instanceof MachineCrashedError) return goneMeanwhile(task?.operation, 'crashed', nativeError(error))
    if (isGone(error)) return goneMeanwhile(task?.operation, 'stopped')
    const id = task?.target?.type === 'vm' ? task.target.id : undefined
    return embeddedError(id === undefined ? error : await unlessDeleted(error, id, () => this.#store.get(id)))
  }

  async #get(id: string): Promise<Definition> {
    const definition = await this.#store.get(id)
    if (definition === undefined) throw vmNotFound(id)
    return definition
  }

  async #find(nameOrId: string): Promise<VmRecord> {
    const found = (await this.#store.find(nameOrId)) ?? (await this.#store.findByName(nameOrId))
    if (found === undefined) throw vmNotFound(nameOrId)
    return this.#record(found)
  }

  async #record(found: Definition | DamagedVm): Promise<VmRecord> {
    if (found instanceof DamagedVm) return found.record
    const shown = { id: found.id, config: configOf(found, false) }
    try {
      const state = await this.#lifecycle.stateOf(found)
      return { ...shown, state, problem: this.#lifecycle.live(found.id)?.problem }
    } catch (error) {
      return { ...shown, state: 'unknown', problem: problemOf(embeddedError(error)) }
    }
  }

  #told(type: 'created' | 'config', definition: Definition): Promise<VmRecord> {
    this.#tell(type, definition)
    return this.#record(definition)
  }

  #tell(type: 'created' | 'deleted' | 'config' | 'snapshots', { id, name }: Pick<Definition, 'id' | 'name'>): void {
    this.#listeners.emit({ type, vmId: id, name, at: new Date() })
  }
}

type Action<T> = (definition: Definition, live: LiveVm | undefined) => Promise<T>

const liveOnly =
  <T>(action: (live: LiveVm, definition: Definition) => Promise<T>): Action<T> =>
  async (definition, live) => {
    if (live === undefined) throw invalidState(stateAtRest(definition), ['running'])
    return action(live, definition)
  }
