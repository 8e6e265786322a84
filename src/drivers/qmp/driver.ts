import { availableParallelism } from 'node:os'
import type { Driver, DriverOperations } from '../../driver/driver.js'
import type { DriverOperation, Feature } from '../../operations.js'
import { HostWork } from '../../driver/host-work.js'
import { Listeners } from '../../driver/listeners.js'
import type { Task } from '../../driver/task.js'
import type { GuestWay } from '../../guest/guest-way.js'
import { thisMachine } from '../../driver/this-machine.js'
import type { GuestAgent } from '../../guest-agent/agent.js'
import { GuestOperations } from '../../guest-agent/guest-operations.js'
import { ProtocolError } from '../../errors.js'
import type { HostInfo } from '../../model/host-info.js'
import type { GuestArchitecture } from '../../model/vm-config.js'
import type { VmState } from '../../model/vm-state.js'
import { shownConfig } from './shown-config.js'
import { SshGuests } from '../../ssh/ssh-guests.js'
import { VmRecords } from '../../registry/vm-records.js'
import { JobLedger } from '../../registry/job-ledger.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import { DiskImages } from './disks/disk-images.js'
import { AgentChannel } from './guest-io/agent-channel.js'
import { ConsoleInput } from './guest-io/console-input.js'
import { GuestClocks } from './guest-io/guest-clocks.js'
import { isOver, KeptPrograms } from './guest-io/kept-programs.js'
import { sshGuestOf } from './guest-io/ssh-guest.js'
import { architectureOfKind, type MachineKind } from './hardware/machine.js'
import { VmMoves } from './moves/vm-moves.js'
import { operationTable } from './operation-table.js'
import type { Accelerator } from './process/accelerator.js'
import { endQemuOf } from './process/abandoned-qemu.js'
import { readQemuBuild, type QemuBuild, type QemuTools } from './process/qemu-tools.js'
import { qemuError } from './qemu-errors.js'
import { VmAccess, type RunningVm } from './vm-access.js'
import { VmInspector } from './vm-inspector.js'
import { QemuLifecycle } from './qemu-lifecycle.js'
import { VmObserver } from './watch/vm-observer.js'
import { QemuProvisioning } from './qemu-provisioning.js'
import { VmShutdown } from './vm-shutdown.js'
import { QemuSnapshots } from './qemu-snapshots.js'
import { QemuTwins } from './qemu-twins.js'

/** Starting a QEMU takes some 30 ms of a processor: more at once only slow each other down. */
const maxConcurrentOperations = Math.max(4, 2 * availableParallelism())

/** QEMU run directly: one process for each VM, which outlives this one, and a directory that any number of processes share. */
export class QmpDriver implements Driver {
  readonly name = 'qmp'
  readonly maxConcurrentOperations = maxConcurrentOperations
  readonly waitingOperations = new Set<DriverOperation>(['guest.exec', 'guest.waitUntilReady', 'guest.waitForPort'])
  readonly features: ReadonlySet<Feature> = new Set<Feature>([
    'vm.clone.linked',
    'vm.clone.memory',
    'vm.clone.ephemeral',
    'vm.exportDisk.formats',
    'vm.edit.live',
    'server.events.global',
  ])
  readonly operations: DriverOperations
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly #work = new HostWork(qemuError)
  readonly #directory: VmDirectory<Definition>
  readonly #tools: QemuTools
  readonly #observer: VmObserver
  readonly #access: VmAccess
  readonly #lifecycle: QemuLifecycle
  readonly #jobs: JobLedger
  readonly #input = new ConsoleInput()
  readonly #guest: GuestOperations
  readonly #ssh = new SshGuests()
  readonly #builds = new Map<GuestArchitecture, Promise<QemuBuild>>()

  private constructor(directory: VmDirectory<Definition>, tools: QemuTools, accelerator: Accelerator | undefined) {
    const images = new DiskImages(tools.img)
    const inspector = new VmInspector(directory)
    const observer = new VmObserver(directory, inspector, (event) => {
      if (event.type === 'deleted') this.#ssh.forget(event.vmId)
      this.#listeners.emit(event)
    })
    const access = new VmAccess({ directory, inspector, observer, images })
    const lifecycle = new QemuLifecycle({
      observer,
      images,
      program: tools.system,
      directory: directory.root,
      accelerator,
    })
    const agents = new AgentChannel(directory.member)
    const clocks = new GuestClocks()
    this.#directory = directory
    this.#tools = tools
    this.#observer = observer
    this.#access = access
    this.#lifecycle = lifecycle
    const stateOf = async (vm: string): Promise<VmState> => {
      const definition = await directory.get(vm)
      return definition === undefined ? 'stopped' : (await inspector.look(definition)).state
    }
    this.#jobs = new JobLedger(directory, this.name, qemuError, async (vm) => !isOver(await stateOf(vm)))
    const reach = (running: RunningVm, task: Task): GuestAgent | GuestWay =>
      this.#wayInto(running, task) ?? agents.agentOf(running)
    this.#guest = new GuestOperations({
      use: (vm, task, action) =>
        this.#work.change(task, async (sending) => {
          await clocks.hurry(vm, sending.signal)
          return await access.use(
            vm,
            task,
            sending,
            (running) => action(reach(running, task)),
            (folder) => agents.answers(folder),
          )
        }),
      execDetached: (input, task) => programs.exec(input, task),
      close: () => agents.close(),
    })
    const programs = new KeptPrograms({
      work: this.#work,
      jobs: this.#jobs,
      access,
      clocks,
      stateOf,
      wayInto: (running, task) => this.#guest.wayInto(reach(running, task), task),
    })
    this.operations = operationTable({
      work: this.#work,
      directory,
      jobs: this.#jobs,
      observer,
      access,
      lifecycle,
      images,
      shutdown: new VmShutdown({ directory, access, inspector, lifecycle, observer }),
      provisioning: new QemuProvisioning({
        directory,
        images,
        machine: (kind) => this.#machine(kind),
      }),
      twins: new QemuTwins({ directory, images }),
      moves: new VmMoves(directory),
      snapshots: new QemuSnapshots({ directory, images, lifecycle }),
      records: new VmRecords({
        store: directory,
        describe: async (definition, signal) => {
          const { state, run, lack, problem = lack } = await observer.inspect(definition, { signal })
          const { commandLine } = run ?? lifecycle.plan(definition)
          const config = shownConfig(definition, run !== undefined)
          return { state, config, native: { driver: this.name, commandLine }, problem }
        },
        configOf: (definition) => shownConfig(definition, false),
        explain: qemuError,
      }),
      input: this.#input,
      guest: this.#guest,
      clocks,
      programs,
      agentOf: (vm) => agents.agentOf(vm),
      hostInfo: () => this.#hostInfo(),
    })
  }

  static async open(
    directory: VmDirectory<Definition>,
    tools: QemuTools,
    accelerator: Accelerator | undefined,
  ): Promise<QmpDriver> {
    const driver = new QmpDriver(directory, tools, accelerator)
    await driver.#deleteEphemeral()
    await driver.#access.recover()
    await driver.#observer.open()
    return driver
  }

  async close(): Promise<void> {
    const ended = this.#work.close()
    this.#jobs.close()
    this.#access.close()
    this.#observer.close()
    this.#input.close()
    await Promise.all([this.#guest.close(ended), this.#ssh.close(ended)])
    await this.#lifecycle.close()
    try {
      await this.#deleteEphemeral(true)
    } finally {
      await this.#directory.close()
    }
  }

  #deleteEphemeral(isClosing = false): Promise<void> {
    return this.#directory.deleteEphemeral(({ id }) => endQemuOf(this.#directory.folder(id), id), isClosing)
  }

  /** The way into a guest that is reached by SSH; `undefined` for the agent. */
  #wayInto(running: RunningVm, task: Task): GuestWay | undefined {
    const { guest } = running.definition
    return guest?.way === 'ssh' ? this.#ssh.wayInto(sshGuestOf(running, guest, this.#access, task)) : undefined
  }

  async #machine(kind: MachineKind): Promise<string> {
    const architecture = architectureOfKind(kind)
    const machine = (await this.#readBuild(architecture)).machines[kind]
    if (machine !== undefined) return machine
    throw new ProtocolError({ reason: `${this.#tools.system(architecture)} does not list the machine ${kind}` })
  }

  async #readBuild(architecture: GuestArchitecture): Promise<QemuBuild> {
    const build = this.#builds.get(architecture) ?? readQemuBuild(this.#tools.system(architecture))
    this.#builds.set(architecture, build)
    return build
  }

  async #hostInfo(): Promise<HostInfo> {
    return {
      driver: this.name,
      ...thisMachine(),
      hypervisor: 'QEMU',
      version: (await this.#readBuild('x86_64')).version,
      accelerator: this.#lifecycle.accelerator('x86_64'),
      guestArchitecture: 'x86_64',
    }
  }
}
