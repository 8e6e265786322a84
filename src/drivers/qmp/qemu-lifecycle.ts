import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Task } from '../../driver/task.js'
import { crashedAtStart } from '../../errors/state.js'
import { JobCancelledError } from '../../errors.js'
import type { GuestArchitecture } from '../../model/vm-config.js'
import type { VmState } from '../../model/vm-state.js'
import { acceleratorFor, type Accelerator } from './process/accelerator.js'
import { architectureOf } from './hardware/machine.js'
import { commandLine } from './hardware/command-line.js'
import { companionsOf } from './hardware/companions.js'
import type { Definition } from './definition.js'
import { stateAtRest, withoutRest } from '../../registry/kept-definition.js'
import type { DiskImages } from './disks/disk-images.js'
import type { HeldVm } from './held-vm.js'
import { launch, type Launched } from './launch.js'
import { newMemoryFile, saveMemory } from './disks/memory-image.js'
import { requireSaveable } from './disks/saveable-memory.js'
import { requireParts } from './disks/required-parts.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import { endCompanions } from './process/companion.js'
import { folderId } from './process/own-qemu.js'
import { endQemu } from './process/qemu-end.js'
import { forgetEnd, removeRun, type RunPlan } from './process/run-record.js'
import { requireShares } from './shares/shared-folder.js'
import type { VmObserver } from './watch/vm-observer.js'

interface Parts {
  readonly observer: VmObserver
  readonly images: DiskImages
  /** The path of the QEMU program for guests of an architecture. */
  readonly program: (architecture: GuestArchitecture) => string
  /** The path of the directory of VMs. */
  readonly directory: string
  /** The accelerator for guests; the best available one if absent. */
  readonly accelerator: Accelerator | undefined
}

/** The state that others see while a VM comes up; a paused VM just continues. */
export const throughStart = (state: VmState, { memory }: Definition): VmState =>
  state === 'paused' ? state : memory === undefined ? 'starting' : 'resuming'

/** Starts, controls and ends the QEMU of a VM that is claimed. */
export class QemuLifecycle {
  readonly #parts: Parts
  /** Connections that are being closed, and that QEMU has not closed yet. */
  readonly #leaving = new Set<Promise<unknown>>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  accelerator(architecture: GuestArchitecture): Accelerator {
    return acceleratorFor(architecture, this.#parts.accelerator)
  }

  /** How QEMU would be started for a VM now. */
  plan({ id, hardware, memory }: Definition): RunPlan {
    const { program, directory } = this.#parts
    const architecture = architectureOf(hardware.machine)
    const accelerator = memory?.accelerator ?? this.accelerator(architecture)
    const startedMiB = memory?.startedMiB ?? hardware.memoryMiB
    return {
      accelerator,
      startedMiB,
      commandLine: [
        program(architecture),
        ...commandLine(id, hardware, { accelerator, startedMiB, directory: folderId(directory) }),
      ],
    }
  }

  /** Starts a VM that is at rest, from its saved memory if there is any. */
  async powerOn(vm: HeldVm, task: Task): Promise<VmState> {
    const { definition } = vm
    const { memory, hardware } = definition
    const use = memory === undefined ? 'start' : 'resume'
    const images = await requireParts(vm.folder, definition, { images: use, files: 'rest' })
    await requireShares(hardware.shares ?? [], this.#parts.directory, 'config')
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
      const companions = companionsOf(vm.id, vm.definition.hardware)
      const onExit = (): void => {
        observer.look(vm.id)
      }
      return await launch(vm, task, { plan, companions, onExit })
    } catch (error) {
      // The guest has not run, so that the VM is in the state before.
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

  /** Ends QEMU at once; drops the saved memory of a VM at rest. */
  async kill(vm: HeldVm): Promise<VmState> {
    if (vm.state === 'stopped') return 'stopped'
    if (vm.run === undefined) await vm.save(withoutRest(vm.definition))
    else await this.end(vm)
    vm.finish('stopped')
    return vm.state
  }

  /** Ends the QEMU of a VM without asking its guest. */
  async end(vm: HeldVm): Promise<void> {
    const { run } = vm
    if (run === undefined) return
    vm.setState('stopping')
    await endQemu(vm.folder, run.process)
    await endCompanions(vm.folder, run.companions)
    removeRun(vm.folder)
    forgetEnd(vm.folder)
    vm.run = undefined
  }

  /** Saves the memory and ends QEMU. */
  async suspend(vm: HeldVm, task: Task): Promise<VmState> {
    const { run, state: before } = vm
    if (run === undefined) return before
    await requireParts(vm.folder, vm.definition, { images: 'suspend', files: 'run' })
    const file = newMemoryFile()
    const tag = 'suspended'
    await vm.withMonitor(async (client) => {
      try {
        await requireSaveable(client, vm.definition.hardware, before)
        vm.setState('suspending')
        task.progress({ percent: 5, phase: 'pausing' })
        await client.execute('stop')
        vm.signal.throwIfAborted()
        task.progress({ percent: 10, phase: 'saving memory' })
        await saveMemory(client, this.#parts.images, { folder: vm.folder, file, tag, disks: [] })
        if (vm.signal.aborted) {
          await rm(join(vm.folder, file))
          throw new JobCancelledError({ reason: 'it was cancelled before the memory was kept' })
        }
        const { accelerator, startedMiB } = run
        await vm.save({ ...vm.definition, memory: { file, tag, isPaused: false, accelerator, startedMiB } })
      } catch (error) {
        // A QEMU that is gone can't continue; the next look shows its end.
        if (before === 'running' && !(error instanceof QmpConnectionError)) await client.execute('cont')
        vm.finish(before)
        throw error
      }
    })
    task.progress({ percent: 90, phase: 'ending QEMU' })
    await endQemu(vm.folder, run.process)
    await endCompanions(vm.folder, run.companions)
    removeRun(vm.folder)
    vm.run = undefined
    vm.finish('suspended')
    return vm.state
  }

  /** Waits until the last connections are closed. */
  async close(): Promise<void> {
    await Promise.all(this.#leaving)
  }
}
