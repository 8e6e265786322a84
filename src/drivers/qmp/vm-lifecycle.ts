import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Task } from '../../driver.js'
import { vmNotFound } from '../../errors/lookup.js'
import { errorCode } from '../../errors/native.js'
import { requireState } from '../../errors/state.js'
import { JobCancelledError, ResourceBusyError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { heldBy, type Claim } from '../../registry/claim.js'
import { Exclusive } from '../../registry/exclusive.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { bestAccelerator, type Accelerator } from './accelerator.js'
import { commandLine, runFiles } from './command-line.js'
import { stateAtRest, withoutRest, type Definition } from './definition.js'
import type { DiskImages } from './disk-images.js'
import { newMemoryFile } from './hardware.js'
import { HeldVm } from './held-vm.js'
import { firstLayout, newLayout } from './layout.js'
import { loadMemory, saveMemory } from './memory-image.js'
import { openMonitor } from './monitor.js'
import { requirePlugged } from './plugged-disks.js'
import { openForwards } from './port-forwards.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import { endQemu } from './qemu-end.js'
import { removeRunFiles, startQemu } from './qemu-process.js'
import { removeRun, writeRun, type RunRecord } from './run-record.js'
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

export interface ChangeOptions {
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

/** Runs VMs: how QEMUs come to life and how they end, each change by whoever has the claim on the VM. */
export class VmLifecycle {
  readonly #parts: LifecycleParts
  readonly #exclusive = new Exclusive()
  readonly #underWay = new Set<AbortController>()

  constructor(parts: LifecycleParts) {
    this.#parts = parts
  }

  async accelerator(): Promise<Accelerator> {
    return this.#parts.accelerator ?? (await bestAccelerator())
  }

  /** Changes a VM that is in one of the states that the operation needs, with nobody else at it. */
  change<T>(id: string, task: Task, action: (vm: HeldVm) => Promise<T>, how: ChangeOptions = {}): Promise<T> {
    // Made before any waiting, so that the job can be cancelled from its first moment.
    const operation = new AbortController()
    const signal = how.isSequel === true ? undefined : task.signal
    const stop = (): void => {
      operation.abort(signal?.reason)
    }
    signal?.addEventListener('abort', stop)
    this.#underWay.add(operation)
    const work = this.#exclusive.run(id, () =>
      this.#parts.observer.owning(id, () => this.#changeAlone(id, task, operation.signal, action, how)),
    )
    return work.finally(() => {
      signal?.removeEventListener('abort', stop)
      this.#underWay.delete(operation)
    })
  }

  /** Brings in order what somebody left who died over it: a QEMU that nobody knows of must not run on. */
  async recover(): Promise<void> {
    const { directory, images } = this.#parts
    for (const id of await directory.abandoned()) {
      try {
        await this.#exclusive.run(id, async () => {
          const definition = await directory.get(id)
          if (definition === undefined) return
          const { state } = await this.#parts.inspector.lookAtRun(definition)
          const claim = await directory.claim(id, state)
          try {
            await settle({ directory, images }, definition, claim.isInherited)
          } finally {
            await claim.release()
          }
        })
      } catch (error) {
        // Another process may be faster. What is wrong with one VM is told to whoever works on it, and hinders no other.
        process.emitWarning(`VM ${id} is not in order: ${String(error)}`, 'AwaitvmWarning')
      }
    }
  }

  /** Runs a VM that is at rest, from its saved memory where it has one. */
  async powerOn(vm: HeldVm, task: Task): Promise<VmState> {
    const { memory } = vm.definition
    await vm.setState(memory === undefined ? 'starting' : 'resuming')
    try {
      vm.run = await this.#launch(vm, task)
      return vm.state
    } catch (error) {
      // The guest has not run: it is what it was.
      await vm.setState(stateAtRest(vm.definition))
      throw error
    }
  }

  async pause(vm: HeldVm): Promise<VmState> {
    await vm.withMonitor((client) => client.execute('stop'))
    await vm.setState('paused')
    return vm.state
  }

  async resume(vm: HeldVm, task: Task): Promise<VmState> {
    if (vm.run === undefined) return this.powerOn(vm, task)
    await vm.withMonitor((client) => client.execute('cont'))
    await vm.setState('running')
    return vm.state
  }

  async reset(vm: HeldVm): Promise<VmState> {
    await vm.withMonitor(async (client) => {
      await client.execute('system_reset')
      await client.execute('cont')
    })
    await vm.setState('running')
    return vm.state
  }

  /** Takes the power away, and drops what a VM at rest has kept. */
  async kill(vm: HeldVm): Promise<VmState> {
    if (vm.run === undefined) await vm.save(withoutRest(vm.definition))
    else await this.end(vm)
    await vm.setState('stopped')
    return vm.state
  }

  /** Ends the QEMU of a VM, whatever its guest does. */
  async end(vm: HeldVm): Promise<void> {
    const { run } = vm
    if (run === undefined) return
    await vm.setState('stopping')
    await endQemu(vm.folder, run.process)
    await removeRun(vm.folder)
    vm.run = undefined
  }

  /** Saves the memory, and lets go of QEMU. */
  async suspend(vm: HeldVm, task: Task): Promise<VmState> {
    const { run, state: before } = vm
    if (run === undefined) return before
    const file = newMemoryFile()
    const tag = 'suspended'
    await vm.setState('suspending')
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
          throw cancelled('the memory was kept')
        }
        const { accelerator, layout } = run
        await vm.save({ ...vm.definition, memory: { file, tag, isPaused: false, accelerator, layout } })
      } catch (error) {
        // A QEMU that is gone can't go on, which the next look shows.
        if (before === 'running' && !(error instanceof QmpConnectionError)) await client.execute('cont')
        await vm.setState(before)
        throw error
      }
    })
    task.progress({ percent: 90, phase: 'ending QEMU' })
    await endQemu(vm.folder, run.process)
    await removeRun(vm.folder)
    vm.run = undefined
    await vm.setState('suspended')
    return vm.state
  }

  /** Stops what can be stopped, starts nothing more, and waits for what is under way. */
  async close(): Promise<void> {
    for (const operation of this.#underWay) operation.abort(new DOMException('the server was closed', 'AbortError'))
    await this.#exclusive.drain()
  }

  async #changeAlone<T>(
    id: string,
    task: Task,
    signal: AbortSignal,
    action: (vm: HeldVm) => Promise<T>,
    how: ChangeOptions,
  ): Promise<T> {
    const { directory, inspector, observer, images } = this.#parts
    const { expected, timeoutMs } = how
    const claim = await this.#claim(id, task, signal, how)
    try {
      const found = await directory.get(id)
      if (found === undefined) throw vmNotFound(id)
      const definition = await settle({ directory, images }, found, claim.isInherited)
      const { state, run } = await inspector.lookAtRun(definition, timeoutMs)
      requireState(task.operation, state, expected)
      signal.throwIfAborted()
      return await action(new HeldVm({ claim, directory, observer, signal }, definition, state, run))
    } finally {
      await release(claim)
    }
  }

  /** Claims a VM whose state allows the change; a refusal leaves no trace. */
  async #claim(id: string, task: Task, signal: AbortSignal, how: ChangeOptions): Promise<Claim> {
    const deadline = Date.now() + turnTimeoutMs
    for (;;) {
      try {
        return await this.#claimNow(id, task, how)
      } catch (error) {
        const isInTurn = how.isSequel === true && error instanceof ResourceBusyError && Date.now() < deadline
        if (!isInTurn) throw error
        await delay(turnPollMs, undefined, { signal })
      }
    }
  }

  async #claimNow(id: string, task: Task, { expected, timeoutMs }: ChangeOptions): Promise<Claim> {
    const { directory, inspector } = this.#parts
    const definition = await directory.get(id)
    if (definition === undefined) throw vmNotFound(id)
    const holder = await directory.holder(id)
    if (holder !== undefined) throw heldBy(holder.pid)
    const { state } = await inspector.lookAtRun(definition, timeoutMs)
    requireState(task.operation, state, expected)
    try {
      return await directory.claim(id, state)
    } catch (error) {
      // Deleted meanwhile.
      if (errorCode(error) === 'ENOENT') throw vmNotFound(id)
      throw error
    }
  }

  async #launch(vm: HeldVm, task: Task): Promise<RunRecord> {
    const { program, observer } = this.#parts
    const { id, definition, folder } = vm
    const { memory, hardware } = definition
    const accelerator = memory?.accelerator ?? (await this.accelerator())
    const layout = memory === undefined ? newLayout(hardware) : (memory.layout ?? firstLayout(hardware))
    const args = commandLine(id, hardware, accelerator, layout)
    await removeRunFiles(folder, memory !== undefined)
    task.progress({ percent: 10, phase: 'starting QEMU' })
    const onExit = (): void => {
      observer.look(id)
    }
    const { identity, monitor } = await startQemu(folder, program, args, { signal: vm.signal, onExit })
    try {
      await startEventLog(folder)
      const networkAdapters = await openForwards(monitor, hardware.networkAdapters)
      if (memory !== undefined) {
        task.progress({ percent: 40, phase: 'loading memory' })
        await loadMemory(monitor, memory)
      }
      if (vm.signal.aborted) throw cancelled('the guest ran')
      const run = { process: identity, startedAt: Date.now(), accelerator, layout, commandLine: [program, ...args] }
      await writeRun(folder, run)
      // The saved memory is given up before the guest runs on: from then on it does not fit the disks any more.
      if (memory !== undefined || definition.hasCrashed === true || networkAdapters !== hardware.networkAdapters) {
        await vm.save(withoutRest({ ...definition, hardware: { ...hardware, networkAdapters } }))
      }
      task.progress({ percent: 90, phase: 'starting the processors' })
      if (memory?.isPaused !== true) await monitor.execute('cont')
      await Promise.all([monitor.close(), vm.setState(memory?.isPaused === true ? 'paused' : 'running')])
      return run
    } catch (error) {
      await endQemu(folder, identity, monitor)
      await removeRun(folder)
      if (vm.definition !== definition) await vm.save(definition)
      throw error
    }
  }
}

/** Once somebody has listened, QEMU goes on writing its events to the log, whether anybody listens or not. */
async function startEventLog(folder: string): Promise<void> {
  const client = await openMonitor(folder, runFiles.events)
  await client.close()
}

const cancelled = (before: string): JobCancelledError =>
  new JobCancelledError({ reason: `it was cancelled before ${before}` })

/** Of a VM that was deleted, there is nothing left to let go of. */
async function release(claim: Claim): Promise<void> {
  try {
    await claim.release()
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
