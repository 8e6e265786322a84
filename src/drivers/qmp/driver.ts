import { availableParallelism, freemem, hostname, totalmem } from 'node:os'
import type { Duplex } from 'node:stream'
import type {
  Driver,
  DriverOperation,
  DriverOperations,
  DriverOperationTypes,
  Feature,
  VmRecord,
} from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { vmNotFound } from '../../errors/lookup.js'
import { OutcomeUnknownError } from '../../errors.js'
import { closedBeforeSending } from '../../errors/closed.js'
import type { HostInfo } from '../../model/host-info.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import { DamagedVm, problemOf } from '../../registry/damaged-vm.js'
import { JobLedger } from '../../registry/job-ledger.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Accelerator } from './process/accelerator.js'
import { GuestOperations } from '../../guest-agent/guest-operations.js'
import { AgentChannel } from './guest-io/agent-channel.js'
import { runFiles } from './run-files.js'
import { ConsoleInput } from './guest-io/console-input.js'
import type { Definition } from './definition.js'
import { configOf } from '../../registry/kept-definition.js'
import { DiskImages } from './disks/disk-images.js'
import { attachJob } from './attach-job.js'
import type { HeldVm } from './held-vm.js'
import { qemuError } from './qemu-errors.js'
import { readQemuBuild, type QemuBuild, type QemuTools } from './process/qemu-tools.js'
import { RunLogReader } from './logs/run-log-reader.js'
import { screenshot } from './guest-io/screenshot.js'
import { sendKeys } from './guest-io/send-keys.js'
import { VmAccess, type ChangeOptions, type RunningVm } from './vm-access.js'
import { VmConsole } from './guest-io/vm-console.js'
import { VmInspector } from './vm-inspector.js'
import { throughStart, VmLifecycle } from './vm-lifecycle.js'
import { VmObserver } from './vm-observer.js'
import { VmMoves } from './moves/vm-moves.js'
import { VmProvisioning } from './vm-provisioning.js'
import { VmShutdown } from './vm-shutdown.js'
import { VmSnapshots } from './vm-snapshots.js'
import { readStatistics } from './vm-statistics.js'

/** Starting a QEMU costs some 30 ms of a processor: more at once only make each of them wait. */
const maxConcurrentOperations = Math.max(4, 2 * availableParallelism())

/** A QEMU that is to be killed need not answer first. */
const killPatienceMs = 1000

/** QEMU run directly: one process for each VM, which outlives this one, and a directory that any number of processes share. */
export class QmpDriver implements Driver {
  readonly name = 'qmp'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly waitingOperations = new Set<DriverOperation>(['guest.exec'])
  readonly features: ReadonlySet<Feature> = new Set<Feature>([
    'vm.clone.linked',
    'vm.edit.live',
    'server.events.global',
  ])
  readonly #directory: VmDirectory<Definition>
  readonly #tools: QemuTools
  readonly #inspector: VmInspector
  readonly #observer: VmObserver
  readonly #lifecycle: VmLifecycle
  readonly #access: VmAccess
  readonly #shutdown: VmShutdown
  readonly #provisioning: VmProvisioning
  readonly #moves: VmMoves
  readonly #snapshots: VmSnapshots
  readonly #jobs: JobLedger
  readonly #input = new ConsoleInput()
  readonly #agents = new AgentChannel()
  readonly #guest = new GuestOperations({
    use: (vm, task, action) => this.#use(vm, task, (running) => action(this.#agents.agentOf(running))),
    abandon: () => {
      this.#agents.close()
    },
  })
  readonly #listeners = new Set<(event: VmEvent) => void>()
  readonly #underWay = new Set<Promise<unknown>>()
  #build: Promise<QemuBuild> | undefined
  #isClosed = false

  private constructor(directory: VmDirectory<Definition>, tools: QemuTools, accelerator: Accelerator | undefined) {
    const images = new DiskImages(tools.img)
    this.#directory = directory
    this.#tools = tools
    this.#inspector = new VmInspector(directory)
    this.#observer = new VmObserver(directory, this.#inspector, (event) => {
      this.#emit(event)
    })
    const [inspector, observer] = [this.#inspector, this.#observer]
    this.#access = new VmAccess({ directory, inspector, observer, images })
    this.#lifecycle = new VmLifecycle({ observer, images, program: tools.system, accelerator })
    this.#shutdown = new VmShutdown({
      directory,
      access: this.#access,
      inspector,
      lifecycle: this.#lifecycle,
      observer,
    })
    const machine = async (): Promise<string> => (await this.#readBuild()).machine
    this.#provisioning = new VmProvisioning({ directory, images, machine })
    this.#moves = new VmMoves(directory)
    this.#snapshots = new VmSnapshots({ directory, images, lifecycle: this.#lifecycle })
    this.#jobs = new JobLedger(directory, this.name, qemuError)
  }

  static async open(
    directory: VmDirectory<Definition>,
    tools: QemuTools,
    accelerator: Accelerator | undefined,
  ): Promise<QmpDriver> {
    const driver = new QmpDriver(directory, tools, accelerator)
    await driver.#access.recover()
    await driver.#observer.open()
    return driver
  }

  readonly operations: DriverOperations = {
    'server.getInfo': () => this.#guard(() => this.#getInfo()),
    'server.getVmList': ({ filter }, { signal }) => this.#guard(() => this.#list(filter, signal)),
    'server.getVm': ({ nameOrId }, { signal }) => this.#guard(() => this.#find(nameOrId, signal)),
    'server.createVm': ({ spec }, task) =>
      this.#keep(task, async () => this.#told(await this.#provisioning.create(spec, task))),
    'server.registerVm': ({ path }, task) => this.#keep(task, async () => this.#told(await this.#moves.register(path))),
    'server.getJobs': () => this.#guard(() => this.#jobs.list()),
    'server.attachJob': ({ token }, task) => this.#guard(() => this.#attach(token, task)),
    'vm.getState': ({ vm }, { signal }) =>
      this.#guard(async () => (await this.#inspector.look(await this.#access.get(vm), { signal })).state),
    'vm.start': ({ vm }, task) =>
      this.#change(vm, task, (held) => this.#lifecycle.powerOn(held, task), { through: throughStart }),
    'vm.stop': ({ vm, mode }, task) =>
      this.#keep(task, () => (mode === 'kill' ? this.#kill(vm, task) : this.#shutdown.stop(vm, task))),
    'vm.pause': ({ vm }, task) => this.#change(vm, task, (held) => this.#lifecycle.pause(held)),
    'vm.resume': ({ vm }, task) =>
      this.#halting(vm, task, (held) => this.#lifecycle.resume(held, task), { through: throughStart }),
    'vm.suspend': ({ vm }, task) => this.#change(vm, task, (held) => this.#lifecycle.suspend(held, task)),
    'vm.reset': ({ vm }, task) => this.#change(vm, task, (held) => this.#lifecycle.reset(held)),
    'vm.restart': ({ vm }, task) => this.#keep(task, () => this.#shutdown.restart(vm, task)),
    'vm.edit': ({ vm, changes }, task) =>
      this.#change(vm, task, async (held) => {
        await this.#provisioning.edit(held, changes)
        return this.#record(held.definition)
      }),
    'vm.clone': ({ vm, name, linked }, task) =>
      this.#change(vm, task, async (held) => {
        const kind = linked ? 'cloneLinked' : 'clone'
        return this.#told(await this.#provisioning[kind](held, name, task))
      }),
    'vm.delete': ({ vm }, task) => this.#delete(vm, task),
    'vm.unregister': ({ vm }, task) => this.#takeAway(vm, task, (held) => this.#moves.unregister(held)),
    'vm.migrate': ({ vm, to }, task) => this.#takeAway(vm, task, (held) => this.#moves.migrate(held, to, task)),
    'vm.createSnapshot': ({ vm, ...details }, task) =>
      this.#halting(vm, task, (held) => this.#snapshots.create(held, details, task)),
    'vm.getSnapshotTree': ({ vm }) => this.#guard(async () => this.#snapshots.tree(await this.#access.get(vm))),
    'vm.switchToSnapshot': ({ vm, snapshot }, task) =>
      this.#halting(vm, task, (held) => this.#snapshots.switchTo(held, snapshot, task)),
    'vm.deleteSnapshot': ({ vm, snapshot }, task) =>
      this.#change(vm, task, (held) => this.#snapshots.delete(held, snapshot)),
    'vm.getStatistics': ({ vm }, task) =>
      this.#use(vm, task, ({ definition, run, monitor }) =>
        monitor((client) => readStatistics(client, run, definition.hardware)),
      ),
    'vm.screenshot': ({ vm }, task) => this.#use(vm, task, screenshot),
    'vm.sendKeys': ({ vm, keys }, task) => this.#use(vm, task, (running) => sendKeys(running, keys)),
    'vm.console': ({ vm }, task) => this.#use(vm, task, (running) => this.#console(running)),
    ...this.#guest.operations,
  }

  subscribe(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#jobs.close()
    const ending = this.#access.close()
    this.#observer.close()
    this.#input.close()
    await ending
    await this.#lifecycle.close()
    await this.#guest.close(Promise.allSettled(this.#underWay))
    await this.#directory.close()
  }

  #readBuild(): Promise<QemuBuild> {
    this.#build ??= readQemuBuild(this.#tools.system)
    return this.#build
  }

  async #getInfo(): Promise<HostInfo> {
    const mebibyte = 2 ** 20
    return {
      driver: this.name,
      hostName: hostname(),
      hypervisor: 'QEMU',
      version: (await this.#readBuild()).version,
      accelerator: this.#lifecycle.accelerator(),
      cpus: availableParallelism(),
      memoryMiB: Math.floor(totalmem() / mebibyte),
      freeMemoryMiB: Math.floor(freemem() / mebibyte),
      guestArchitecture: 'x86_64',
    }
  }

  async #list(
    { name, state }: DriverOperationTypes['server.getVmList']['input']['filter'],
    signal: AbortSignal,
  ): Promise<VmRecord[]> {
    const found = await this.#directory.list()
    const wanted = found.filter((vm) => name === undefined || vm.name === name)
    const records = await Promise.all(wanted.map((vm) => this.#record(vm, signal)))
    return records.filter((record) => state === undefined || record.state === state)
  }

  #attach(token: string, task: Task): Promise<unknown> {
    const find = (id: string): Promise<Definition | undefined> => this.#directory.get(id)
    const record = (definition: Definition): Promise<VmRecord> => this.#record(definition)
    return attachJob({ jobs: this.#jobs, find, record }, token, task)
  }

  /** A kill does not wait for an operation over which QEMU hangs. */
  async #kill(vm: string, task: Task): Promise<VmState> {
    const { heldUp } = this.#access
    if (heldUp.has(vm)) {
      task.holdBack()()
      await this.#guard(() => heldUp.free(vm))
    }
    const how = { expected: operations['vm.stop'].fromKill, timeoutMs: killPatienceMs }
    return this.#alter(vm, task, (held) => this.#lifecycle.kill(held), how)
  }

  async #console({ definition, folder, run }: RunningVm): Promise<Duplex> {
    const { id } = definition
    return new VmConsole({
      log: await RunLogReader.open(folder, runFiles.console),
      onPrinted: (listener) => this.#observer.onConsole(id, listener),
      ended: this.#observer.ended(id, run.process),
      send: (bytes) => this.#input.send(folder, bytes),
    })
  }

  /** Changes a VM as a job that other processes see. */
  #change<T>(vm: string, task: Task, action: (held: HeldVm) => Promise<T>, how?: ChangeOptions): Promise<T> {
    return this.#keep(task, () => this.#alter(vm, task, action, how))
  }

  #alter<T>(vm: string, task: Task, action: (held: HeldVm) => Promise<T>, how?: ChangeOptions): Promise<T> {
    return this.#guard(() => this.#access.change(vm, task, action, how))
  }

  /** A change of a VM whose guest has stood still before or over it: it learns the time afterwards, which nobody waits for. */
  #halting<T>(vm: string, task: Task, action: (held: HeldVm) => Promise<T>, how?: ChangeOptions): Promise<T> {
    const work = this.#change(vm, task, action, how)
    const catchUp = async (): Promise<void> => {
      const running = await this.#access.running(vm, task.operation)
      if (running !== undefined && !this.#isClosed) await this.#guest.catchUp(this.#agents.agentOf(running))
    }
    // The caller gets the error of a change that failed. A VM that can't be read is reported by the next call for it.
    work.then(() => this.#guard(catchUp)).catch(() => undefined)
    return work
  }

  /** Something after which the VM is not there any more, of which everybody is told. */
  #takeAway(vm: string, task: Task, action: (held: HeldVm) => Promise<void>): Promise<void> {
    return this.#change(vm, task, async (held) => {
      await action(held)
      this.#observer.tellDeleted(held.definition)
    })
  }

  /** Deletes a VM, also one whose definition can't be read. */
  #delete(vm: string, task: Task): Promise<void> {
    // Made before any waiting, so that the job can be cancelled from its first moment.
    const { signal } = task
    const send = task.holdBack()
    return this.#keep(task, async () => {
      const found = await this.#directory.find(vm)
      signal.throwIfAborted()
      if (found instanceof DamagedVm) {
        send()
        await this.#access.deleteDamaged(vm)
      } else await this.#alter(vm, task, (held) => this.#provisioning.delete(held))
      if (found !== undefined) this.#observer.tellDeleted(found)
    })
  }

  #use<T>(vm: string, task: Task, action: (running: RunningVm) => Promise<T>): Promise<T> {
    return this.#guard(() => this.#access.use(vm, task, action))
  }

  #keep<T>(task: Task, work: () => Promise<T>): Promise<T> {
    return this.#guard(() => this.#jobs.keep(task, work))
  }

  #guard<T>(action: () => Promise<T>): Promise<T> {
    const work = this.#perform(action)
    this.#underWay.add(work)
    const forget = (): void => void this.#underWay.delete(work)
    work.then(forget, forget)
    return work
  }

  async #perform<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      if (this.#isClosed && !(error instanceof OutcomeUnknownError)) throw closedBeforeSending(error)
      throw qemuError(error)
    }
  }

  async #find(nameOrId: string, signal: AbortSignal): Promise<VmRecord> {
    const found = (await this.#directory.find(nameOrId)) ?? (await this.#directory.findByName(nameOrId))
    if (found === undefined) throw vmNotFound(nameOrId)
    return this.#record(found, signal)
  }

  async #record(found: Definition | DamagedVm, signal?: AbortSignal): Promise<VmRecord> {
    if (found instanceof DamagedVm) return found.record
    try {
      const { state, run, problem } = await this.#inspector.look(found, { signal })
      const { commandLine } = run ?? this.#lifecycle.plan(found)
      const config = configOf(found, run !== undefined)
      return { id: found.id, state, config, native: { driver: this.name, commandLine }, problem }
    } catch (error) {
      return { id: found.id, state: 'unknown', config: configOf(found, false), problem: problemOf(qemuError(error)) }
    }
  }

  /** Of a VM that was made: tells everybody of it. */
  #told(definition: Definition): Promise<VmRecord> {
    this.#observer.tellDefinition(definition)
    return this.#record(definition)
  }

  #emit(event: VmEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
