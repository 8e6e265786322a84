import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Task } from '../../driver/task.js'
import { vmNotFound } from '../../errors/lookup.js'
import { errorCode } from '../../errors/native.js'
import { crashedAtStart, requireState } from '../../errors/state.js'
import { JobCancelledError, ResourceBusyError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { heldBy } from '../../registry/claim.js'
import { Exclusive } from '../../driver/exclusive.js'
import { isAlive } from '../../registry/process-identity.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { bestAccelerator, type Accelerator } from './process/accelerator.js'
import { commandLine } from './hardware/command-line.js'
import { stateAtRest, withoutRest, type Definition } from './definition.js'
import type { DiskImages } from './disks/disk-images.js'
import { newMemoryFile } from './hardware/hardware.js'
import { HeldUpVms } from './held-up-vms.js'
import { HeldVm, type Course } from './held-vm.js'
import { launch, type Launched } from './launch.js'
import { firstLayout, newLayout } from './process/layout.js'
import { saveMemory } from './disks/memory-image.js'
import { requirePlugged } from './disks/plugged-disks.js'
import { requireParts } from './disks/required-parts.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import { endQemu } from './process/qemu-end.js'
import { findOrphan } from './process/qemu-process.js'
import { forgetEnd, readRun, removeRun, type RunPlan } from './process/run-record.js'
import { settle } from './settle.js'
import type { VmInspector } from './vm-inspector.js'
import type { VmObserver } from './vm-observer.js'

export interface LifecycleParts {
  readonly directory: VmDirectory<Definition>
  readonly inspector: VmInspector
  readonly observer: VmObserver
  readonly images: DiskImages
  /** The path of QEMU itself. */
  readonly program: string
  /** What runs the guests; the best that is there if absent. */
  readonly accelerator: Accelerator | undefined
}

type Claimed = Awaited<ReturnType<VmDirectory<Definition>['claim']>>

export interface ChangeOptions {
  /** What others are told of the VM meanwhile; the state that it has, if absent. */
  readonly through?: ((state: VmState, definition: Definition) => VmState) | undefined
  /** The states in which it may be done, where they are not those of the task's operation. */
  readonly expected?: readonly VmState[] | undefined
  /** How long QEMU may take to answer what its guest does. */
  readonly timeoutMs?: number | undefined
  /** It finishes what has taken effect already: it can't be cancelled, and waits for whoever has the VM. */
  readonly isSequel?: boolean | undefined
}

/** How long what has begun waits for whoever has the VM. */
const turnTimeoutMs = 60_000
const turnPollMs = 20

/** What others are told of a VM that comes up from rest; one that is paused only goes on. */
export const throughStart = (state: VmState, { memory }: Definition): VmState =>
  state === 'paused' ? state : memory === undefined ? 'starting' : 'resuming'

/** Runs VMs: how QEMUs come to life and how they end, each change by whoever has the claim on the VM. */
export class VmLifecycle {
  readonly #parts: LifecycleParts
  readonly #exclusive = new Exclusive()
  readonly #underWay = new Set<AbortController>()
  readonly heldUp: HeldUpVms
  /** Connections to QEMUs that were let go of, and that these have not noticed yet. */
  readonly #leaving = new Set<Promise<unknown>>()

  constructor(parts: LifecycleParts) {
    this.#parts = parts
    this.heldUp = new HeldUpVms(parts.directory)
  }

  accelerator(): Accelerator {
    return this.#parts.accelerator ?? bestAccelerator()
  }

  /** The QEMU that would be started for a VM now. */
  plan({ id, hardware, memory }: Definition): RunPlan {
    const accelerator = memory?.accelerator ?? this.accelerator()
    const layout = memory === undefined ? newLayout(hardware) : (memory.layout ?? firstLayout(hardware))
    return {
      accelerator,
      layout,
      commandLine: [this.#parts.program, ...commandLine(id, hardware, accelerator, layout)],
    }
  }

  /** Changes a VM that is in one of the states that the operation needs, with nobody else at it. */
  change<T>(id: string, task: Task, action: (vm: HeldVm) => Promise<T>, how: ChangeOptions = {}): Promise<T> {
    // Made before any waiting, so that the job can be cancelled from its first moment.
    const operation = new AbortController()
    const signal = how.isSequel === true ? undefined : task.signal
    const send = task.holdBack()
    const stop = (): void => {
      operation.abort(signal?.reason)
    }
    const commit = (): void => {
      signal?.removeEventListener('abort', stop)
    }
    signal?.addEventListener('abort', stop)
    this.#underWay.add(operation)
    const ended = this.heldUp.follow(id, task)
    const course = { signal: operation.signal, send, commit }
    const work = this.#exclusive.run(id, () =>
      this.#parts.observer.owning(id, () => this.#changeAlone(id, task, course, action, how)),
    )
    return work.finally(() => {
      commit()
      ended()
      this.#underWay.delete(operation)
    })
  }

  /** Brings in order what somebody left who died over it: a QEMU that nobody knows of must not run on. */
  async recover(): Promise<void> {
    const { directory, images } = this.#parts
    for (const id of await directory.ids()) {
      try {
        if (!directory.isAbandoned(id)) continue
        await this.#exclusive.run(id, async () => {
          const definition = await directory.get(id)
          if (definition === undefined) return
          const { state } = await this.#parts.inspector.lookAtRun(definition)
          const { claim, definition: found } = await directory.claim(id, state)
          try {
            if (found !== undefined) await settle({ directory, images }, found, claim.inherited)
          } finally {
            claim.release()
          }
        })
      } catch (error) {
        // Another process may be faster. What is wrong with one VM is told to whoever works on it, and hinders no other.
        process.emitWarning(`VM ${id} is not in order: ${String(error)}`, 'AwaitvmWarning')
      }
    }
  }

  /** Deletes a VM whose definition can't be read, unless a QEMU runs it. */
  deleteDamaged(id: string): Promise<void> {
    const { directory, observer } = this.#parts
    const deleteAlone = async (): Promise<void> => {
      const folder = directory.folder(id)
      const run = readRun(folder)
      const isRunning = run !== undefined && isAlive(run.process, folder)
      const running = isRunning ? run.process : await findOrphan(folder, id, true)
      if (running !== undefined) {
        const reason = `it is damaged, and QEMU runs it as the process ${String(running.pid)}`
        throw new ResourceBusyError({ pid: running.pid, reason, hint: 'Shut its guest down, or end that process.' })
      }
      await directory.deleteDamaged(id)
    }
    return this.#exclusive.run(id, () => observer.owning(id, deleteAlone))
  }

  /** Runs a VM that is at rest, from its saved memory where it has one. */
  async powerOn(vm: HeldVm, task: Task): Promise<VmState> {
    const { definition } = vm
    const { memory, hardware } = definition
    const use = memory === undefined ? 'start' : 'resume'
    const images = await requireParts(vm.folder, definition, { images: use, files: 'rest' })
    if (images !== hardware.images) await vm.save({ ...definition, hardware: { ...hardware, images } })
    vm.setState(throughStart(vm.state, vm.definition))
    const { run, leaving, crash } = await this.#launch(vm, task)
    this.#leaving.add(leaving)
    void leaving.then(() => this.#leaving.delete(leaving))
    if (crash !== undefined) {
      vm.finish('crashed', { reason: 'crash', message: crash })
      throw crashedAtStart({ driver: 'qmp', message: crash })
    }
    vm.run = run
    vm.finish(memory?.isPaused === true ? 'paused' : 'running')
    return vm.state
  }

  async #launch(vm: HeldVm, task: Task): Promise<Launched> {
    try {
      const { observer } = this.#parts
      const plan = this.plan(vm.definition)
      const onExit = (): void => {
        observer.look(vm.id)
      }
      return await launch(vm, task, { plan, onExit })
    } catch (error) {
      // The guest has not run: it is what it was.
      vm.finish(stateAtRest(vm.definition))
      throw error
    }
  }

  async pause(vm: HeldVm): Promise<VmState> {
    await vm.withMonitor((client) => client.execute('stop'))
    vm.finish('paused')
    return vm.state
  }

  async resume(vm: HeldVm, task: Task): Promise<VmState> {
    if (vm.run === undefined) return this.powerOn(vm, task)
    await vm.withMonitor((client) => client.execute('cont'))
    vm.finish('running')
    return vm.state
  }

  async reset(vm: HeldVm): Promise<VmState> {
    await vm.withMonitor(async (client) => {
      await client.execute('system_reset')
      await client.execute('cont')
    })
    vm.finish('running')
    return vm.state
  }

  /** Takes the power away, and drops what a VM at rest has kept. */
  async kill(vm: HeldVm): Promise<VmState> {
    if (vm.run === undefined) await vm.save(withoutRest(vm.definition))
    else await this.end(vm)
    vm.finish('stopped')
    return vm.state
  }

  /** Ends the QEMU of a VM, whatever its guest does. */
  async end(vm: HeldVm): Promise<void> {
    const { run } = vm
    if (run === undefined) return
    vm.setState('stopping')
    await endQemu(vm.folder, run.process)
    removeRun(vm.folder)
    forgetEnd(vm.folder)
    vm.run = undefined
  }

  /** Saves the memory, and lets go of QEMU. */
  async suspend(vm: HeldVm, task: Task): Promise<VmState> {
    const { run, state: before } = vm
    if (run === undefined) return before
    await requireParts(vm.folder, vm.definition, { images: 'suspend', files: 'run' })
    const file = newMemoryFile()
    const tag = 'suspended'
    vm.setState('suspending')
    await vm.withMonitor(async (client) => {
      try {
        await requirePlugged(client, vm.definition.hardware)
        task.progress({ percent: 5, phase: 'pausing' })
        await client.execute('stop')
        vm.signal.throwIfAborted()
        task.progress({ percent: 10, phase: 'saving memory' })
        await saveMemory(client, this.#parts.images, { folder: vm.folder, file, tag, disks: [] })
        if (vm.signal.aborted) {
          await rm(join(vm.folder, file))
          throw new JobCancelledError({ reason: 'it was cancelled before the memory was kept' })
        }
        const { accelerator, layout } = run
        await vm.save({ ...vm.definition, memory: { file, tag, isPaused: false, accelerator, layout } })
      } catch (error) {
        // A QEMU that is gone can't go on, which the next look shows.
        if (before === 'running' && !(error instanceof QmpConnectionError)) await client.execute('cont')
        vm.finish(before)
        throw error
      }
    })
    task.progress({ percent: 90, phase: 'ending QEMU' })
    await endQemu(vm.folder, run.process)
    removeRun(vm.folder)
    vm.run = undefined
    vm.finish('suspended')
    return vm.state
  }

  /** Stops what can be stopped, starts nothing more, and waits for what is under way. */
  async close(): Promise<void> {
    for (const operation of this.#underWay) operation.abort(new DOMException('the server was closed', 'AbortError'))
    await this.#exclusive.drain()
    await Promise.all(this.#leaving)
  }

  async #changeAlone<T>(
    id: string,
    task: Task,
    course: Course,
    action: (vm: HeldVm) => Promise<T>,
    how: ChangeOptions,
  ): Promise<T> {
    const { directory, inspector, observer, images } = this.#parts
    const { expected, timeoutMs } = how
    const { signal } = course
    const { claim, definition: found } = await this.#claim(id, task, signal, how)
    observer.tellClaim(id, claim)
    try {
      if (found === undefined) throw vmNotFound(id)
      const definition = await settle({ directory, images }, found, claim.inherited)
      if (definition === undefined) throw vmNotFound(id)
      const { state, run, problem } = await inspector.lookAtRun(definition, { timeoutMs, signal })
      requireState(task.operation, state, expected, problem)
      signal.throwIfAborted()
      course.send()
      return await action(new HeldVm({ claim, directory, observer, course }, definition, state, run))
    } finally {
      claim.release()
    }
  }

  /** Claims a VM whose state allows the change; a refusal leaves no trace. */
  async #claim(id: string, task: Task, signal: AbortSignal, how: ChangeOptions): Promise<Claimed> {
    const deadline = performance.now() + turnTimeoutMs
    for (;;) {
      try {
        return await this.#claimNow(id, task, signal, how)
      } catch (error) {
        const isInTurn = how.isSequel === true && error instanceof ResourceBusyError && performance.now() < deadline
        if (!isInTurn) throw error
        await delay(turnPollMs, undefined, { signal })
      }
    }
  }

  async #claimNow(
    id: string,
    task: Task,
    signal: AbortSignal,
    { expected, timeoutMs, through }: ChangeOptions,
  ): Promise<Claimed> {
    const { directory, inspector } = this.#parts
    const definition = await directory.get(id)
    if (definition === undefined) throw vmNotFound(id)
    const holder = directory.holder(id)
    if (holder !== undefined) throw heldBy(holder)
    const { state, problem } = await inspector.lookAtRun(definition, { timeoutMs, signal })
    requireState(task.operation, state, expected, problem)
    try {
      return await directory.claim(id, through?.(state, definition) ?? state, state)
    } catch (error) {
      // Deleted meanwhile.
      if (errorCode(error) === 'ENOENT') throw vmNotFound(id)
      throw error
    }
  }
}
