import type { DriverInputs, DriverOperations } from '../../driver/driver.js'
import type { VmRecord } from '../../model/vm-record.js'
import { hostTask } from '../../driver/host-task.js'
import type { HostWork, Sending } from '../../driver/host-work.js'
import { imageOperations } from '../../driver/image-operations.js'
import { hasNewImages, withLocalImages } from '../../driver/local-images.js'
import type { Task } from '../../driver/task.js'
import type { GuestAgent } from '../../guest-agent/agent.js'
import type { GuestOperations } from '../../guest-agent/guest-operations.js'
import type { HostInfo } from '../../model/host-info.js'
import type { JsonValue } from '../../model/json.js'
import type { VmState } from '../../model/vm-state.js'
import { statesToClone } from '../../errors/state.js'
import { operations } from '../../operations.js'
import { DamagedVm } from '../../registry/damaged-vm.js'
import type { JobLedger } from '../../registry/job-ledger.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { VmRecords } from '../../registry/vm-records.js'
import { attachJob } from './attach-job.js'
import type { Definition } from './definition.js'
import { converterBy } from './disks/converted-image.js'
import type { DiskImages } from './disks/disk-images.js'
import { exportDisk } from './disks/export-disk.js'
import type { ConsoleInput } from './guest-io/console-input.js'
import type { GuestClocks } from './guest-io/guest-clocks.js'
import type { KeptPrograms } from './guest-io/kept-programs.js'
import { screenshot } from './guest-io/screenshot.js'
import { sendKeys } from './guest-io/send-keys.js'
import { openConsole } from './guest-io/qemu-console.js'
import { refuseUnsupported } from './hardware/hardware.js'
import type { HeldVm } from './held-vm.js'
import type { VmMoves } from './moves/vm-moves.js'
import type { ChangeOptions, RunningVm, VmAccess } from './vm-access.js'
import { throughStart, type QemuLifecycle } from './qemu-lifecycle.js'
import type { VmObserver } from './watch/vm-observer.js'
import type { QemuProvisioning } from './qemu-provisioning.js'
import type { VmShutdown } from './vm-shutdown.js'
import type { QemuSnapshots } from './qemu-snapshots.js'
import type { QemuTwins } from './qemu-twins.js'
import { isQuestion, requireOthersNames, sendHeld, sendRaw } from './raw-command.js'
import { readStatistics } from './vm-statistics.js'

interface Parts {
  readonly work: HostWork
  readonly directory: VmDirectory<Definition>
  readonly jobs: JobLedger
  readonly observer: VmObserver
  readonly access: VmAccess
  readonly lifecycle: QemuLifecycle
  readonly shutdown: VmShutdown
  readonly images: DiskImages
  readonly provisioning: QemuProvisioning
  readonly twins: QemuTwins
  readonly moves: VmMoves
  readonly snapshots: QemuSnapshots
  readonly records: VmRecords<Definition>
  readonly input: ConsoleInput
  readonly guest: GuestOperations
  readonly clocks: GuestClocks
  readonly programs: KeptPrograms
  readonly agentOf: (vm: RunningVm) => GuestAgent
  readonly hostInfo: () => Promise<HostInfo>
}

interface OnVm {
  readonly vm: string
}

/** How long a kill waits for QEMU to tell the state. */
const killPatienceMs = 1000

/** The operations of the driver: how each gets at its VM, and what it does then. */
export function operationTable(parts: Parts): DriverOperations {
  const { work, directory, jobs, observer, access, lifecycle, shutdown, provisioning, moves, snapshots } = parts
  const { records, input: consoleInput, guest, clocks } = parts

  const query =
    <I, T>(action: (input: I, task: Task) => Promise<T>) =>
    (input: I, task: Task): Promise<T> =>
      work.query(task, () => action(input, task))

  /** A job that other processes see. */
  const keep =
    <I, T>(action: (input: I, task: Task, sending: Sending) => Promise<T>) =>
    (input: I, task: Task): Promise<T> =>
      work.change(task, (sending) => jobs.keep(hostTask(task), () => action(input, task, sending)))

  /** Makes a VM. The action calls `send`. */
  const make = <I>(action: (input: I, task: Task, sending: Sending) => Promise<Definition>) =>
    keep<I, VmRecord>(async (input, task, sending) => shown(await action(input, task, sending)))

  /** Changes a VM, with a claim on it. */
  const change = <I extends OnVm, T>(action: (held: HeldVm, task: Task, input: I) => Promise<T>, how?: ChangeOptions) =>
    keep<I, T>((input, task, sending) =>
      access.change(input.vm, task, sending, (held) => action(held, task, input), how),
    )

  /** Sets the clock of a guest that stood still, which no job waits for. */
  const setClockAfter = (changed: Promise<unknown>, vm: string, { operation }: Task): void => {
    const setClock = async (): Promise<void> => {
      const running = await access.running(vm, operation)
      if (running !== undefined && !work.isClosed) await guest.catchUp(parts.agentOf(running))
    }
    // The caller gets the error of the change. The next call for a VM that can't be read reports that.
    changed.then(() => work.aside(() => clocks.set(vm, setClock))).catch(() => undefined)
  }

  /** Changes a VM whose guest stands still before or during the change: its clock is set afterwards, which no job waits for. */
  const halting = <I extends OnVm, T>(
    action: (held: HeldVm, task: Task, input: I) => Promise<T>,
    how?: ChangeOptions,
  ): ((input: I, task: Task) => Promise<T>) => {
    const changing = change(action, how)
    return (input, task) => {
      const changed = changing(input, task)
      setClockAfter(changed, input.vm, task)
      return changed
    }
  }

  /** Changes a VM that is gone afterwards. */
  const takeAway = <I extends OnVm>(action: (held: HeldVm, task: Task, input: I) => Promise<void>) =>
    change<I, void>(async (held, task, input) => {
      await action(held, task, input)
      observer.tellDeleted(held.definition)
    })

  /** Looks at a running VM, or sends it something, without a claim. */
  const use =
    <I extends OnVm, T>(action: (running: RunningVm, input: I) => Promise<T>) =>
    (input: I, task: Task): Promise<T> =>
      work.change(task, (sending) => access.use(input.vm, task, sending, (running) => action(running, input)))

  const shown = (made: Definition): Promise<VmRecord> => {
    observer.tellDefinition(made)
    return records.of(made)
  }

  /** A kill does not wait for an operation that hangs since QEMU does. */
  async function kill(vm: string, task: Task, sending: Sending): Promise<VmState> {
    const { heldUp } = access
    if (heldUp.has(vm)) {
      sending.send()
      await heldUp.free(vm)
    }
    const how = { expected: operations['vm.stop'].fromKill, timeoutMs: killPatienceMs }
    return access.change(vm, task, sending, (held) => lifecycle.kill(held), how)
  }

  /** Makes a clone that is suspended, and resumes it while others are made. One that does not go on is removed. */
  async function cloneWithMemory(input: DriverInputs['vm.clone'], task: Task, sending: Sending): Promise<VmRecord> {
    const making = access.change(input.vm, task, sending, (held) => parts.twins.make(held, input, task), {
      expected: statesToClone(input),
    })
    // A guest does not stand still for a clone of its snapshot.
    if (input.snapshot === undefined) setClockAfter(making, input.vm, task)
    const twin = await making
    observer.tellDefinition(twin)
    const suspended = { expected: ['suspended'], through: throughStart } as const
    try {
      const resuming = access.change(twin.id, task, sending, (held) => lifecycle.powerOn(held, task), suspended)
      setClockAfter(resuming, twin.id, task)
      await resuming
    } catch (error) {
      const atRest = { expected: operations['vm.delete'].from, isSequel: true }
      await access.change(twin.id, task, sending, (held) => provisioning.delete(held), atRest)
      observer.tellDeleted(twin)
      throw error
    }
    return records.of(await access.get(twin.id))
  }

  /** Deletes a VM, also one whose definition can't be read. */
  async function remove(vm: string, task: Task, sending: Sending): Promise<void> {
    const found = await directory.find(vm)
    if (found instanceof DamagedVm) {
      sending.send()
      await access.deleteDamaged(vm)
    } else await access.change(vm, task, sending, (held) => provisioning.delete(held))
    if (found !== undefined) observer.tellDeleted(found)
  }

  return {
    'server.getInfo': query(parts.hostInfo),
    'server.getVmList': query(({ filter }, { signal }) => records.list(filter, signal)),
    'server.getVm': query(({ nameOrId }, { signal }) => records.find(nameOrId, signal)),
    'server.createVm': make(({ spec }, task, sending) => provisioning.create(spec, task, sending)),
    'server.registerVm': make(({ path }, _task, { send }) => {
      send()
      return moves.register(path)
    }),
    'server.getJobs': query(() => jobs.list()),
    'server.attachJob': query(async (input, task) => {
      const program = parts.programs.attach(input, task)
      if (program !== undefined) return await program
      const found = { jobs, find: (id: string) => directory.get(id), record: (vm: Definition) => records.of(vm) }
      return await attachJob(found, input.token, hostTask(task))
    }),
    ...imageOperations(work, directory),
    'vm.getState': query(
      async ({ vm }, { signal }) => (await observer.inspect(await access.get(vm), { signal })).state,
    ),
    'vm.start': change((held, task) => lifecycle.powerOn(held, task), { through: throughStart }),
    'vm.stop': keep(({ vm, mode }, task, sending) =>
      mode === 'kill' ? kill(vm, task, sending) : shutdown.stop(vm, task, sending),
    ),
    'vm.pause': change((held) => lifecycle.pause(held)),
    'vm.resume': halting((held, task) => lifecycle.resume(held, task), { through: throughStart }),
    'vm.suspend': change((held, task) => lifecycle.suspend(held, task)),
    'vm.reset': change((held) => lifecycle.reset(held)),
    'vm.restart': keep(({ vm }, task, sending) => shutdown.restart(vm, task, sending)),
    'vm.edit': keep(async ({ vm, changes: wanted }, task, sending) => {
      refuseUnsupported(wanted, 'changes')
      // Before the VM is claimed: others may use it while an image is fetched.
      const changes = hasNewImages(wanted)
        ? await withLocalImages(wanted, 'changes', {
            task,
            signal: sending.signal,
            converter: converterBy(parts.images),
            vms: directory.vms,
          })
        : wanted
      return await access.change(vm, task, sending, async (held) => {
        await provisioning.edit(held, changes)
        return records.of(held.definition)
      })
    }),
    'vm.clone': keep((input, task, sending) => {
      const { vm, linked, memory } = input
      if (memory) return clocks.whileCloning(() => cloneWithMemory(input, task, sending))
      return access.change(vm, task, sending, async (held) =>
        shown(await provisioning[linked ? 'cloneLinked' : 'clone'](held, input, task)),
      )
    }),
    'vm.exportDisk': change((held, task, input) => exportDisk(parts.images, held, input, task)),
    'vm.delete': keep(({ vm }, task, sending) => remove(vm, task, sending)),
    'vm.unregister': takeAway((held) => moves.unregister(held)),
    'vm.migrate': takeAway((held, task, { to }) => moves.migrate(held, to, task)),
    'vm.createSnapshot': halting((held, task, { name, description }) =>
      snapshots.create(held, { name, description }, task),
    ),
    'vm.getSnapshotTree': query(async ({ vm }) => snapshots.tree(await access.get(vm))),
    'vm.switchToSnapshot': halting((held, task, { snapshot }) => snapshots.switchTo(held, snapshot, task)),
    'vm.deleteSnapshot': change((held, _task, { snapshot }) => snapshots.delete(held, snapshot)),
    'vm.getStatistics': use(readStatistics),
    'vm.screenshot': use(screenshot),
    'vm.sendKeys': use((running, { keys }) => sendKeys(running, keys)),
    'vm.console': use((running) => openConsole(running, observer, consoleInput)),
    ...guest.operations,
    'native.qmp': (input, task) =>
      work.change(task, async (sending) => {
        const { signal } = sending
        // A question counts as not sent, so that it can be given up at any time.
        if (isQuestion(input)) {
          const asking = { signal, send: () => undefined }
          const ask = ({ monitor }: RunningVm): Promise<JsonValue> =>
            monitor((client) => sendRaw(client, input, signal))
          return await access.use(input.vm, task, asking, ask)
        }
        requireOthersNames(input)
        return await access.change(input.vm, task, sending, (held) => sendHeld(held, input))
      }),
  }
}
