import { hostTask } from '../../driver/host-task.js'
import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { goneMeanwhile, invalidState, stoppedMeanwhile } from '../../errors/state.js'
import { InvalidStateError, ResourceBusyError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import { isAlive } from '../../registry/process-identity.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import { requireParts } from './disks/required-parts.js'
import { pressUntilOff } from './power-button.js'
import { announcedEnd, readRun } from './process/run-record.js'
import type { HeldVm } from './held-vm.js'
import type { RunningVm, VmAccess } from './vm-access.js'
import type { VmInspector } from './vm-inspector.js'
import { throughStart, type QemuLifecycle } from './qemu-lifecycle.js'
import type { VmObserver } from './watch/vm-observer.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly access: VmAccess
  readonly inspector: VmInspector
  readonly lifecycle: QemuLifecycle
  readonly observer: VmObserver
}

const startIt = 'Start it with vm.start().'

/** Shutdowns and restarts: what the guest itself has to do. Others may do things to the VM meanwhile. */
export class VmShutdown {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Asks the guest to go. Once the job has ended, since its time is over, nobody asks any more. */
  async stop(vm: string, task: Task, sending: Sending): Promise<VmState> {
    const wait = new AbortController()
    const forget = hostTask(task).onGivenUp(() => {
      wait.abort()
    })
    try {
      return await this.#shutDown(vm, task, sending, wait.signal)
    } finally {
      forget()
    }
  }

  /**
   * A guest that shuts down only after the job's time is over comes up all the same, rather than that it stays away. A VM that
   * was stopped by any other means stays stopped.
   */
  async restart(vm: string, task: Task, sending: Sending): Promise<VmState> {
    const { access } = this.#parts
    const canComeUp = ({ folder, definition }: RunningVm): Promise<unknown> =>
      requireParts(folder, definition, { images: 'start', files: 'run' })
    await this.#shutDown(vm, task, sending, new AbortController().signal, canComeUp)
    const how = { expected: operations['vm.start'].from, through: throughStart, isSequel: true }
    try {
      return await access.change(vm, task, sending, (held) => this.#startAgain(held, task), how)
    } catch (error) {
      if (!(error instanceof ResourceBusyError)) throw error
      const { from } = operations['vm.restart']
      const reason = `it has shut down, and can't be started: ${error.reason}`
      throw new InvalidStateError({ state: 'stopped', expected: from, reason, hint: startIt, cause: error })
    }
  }

  async #startAgain(held: HeldVm, task: Task): Promise<VmState> {
    if ((await announcedEnd(held.folder)) !== 'guest') throw stoppedMeanwhile()
    return this.#parts.lifecycle.powerOn(held, task)
  }

  /**
   * Presses the power button, and waits until the guest has gone. A press can't be taken back, and QEMU does not tell whether
   * the guest has noticed it: the operation can't be cancelled.
   */
  async #shutDown(
    vm: string,
    task: Task,
    sending: Sending,
    givenUp: AbortSignal,
    check?: (running: RunningVm) => Promise<unknown>,
  ): Promise<VmState> {
    const { access } = this.#parts
    const wasRunning = this.#seemsToRun(vm)
    try {
      return await access.use(vm, task, sending, async (running) => {
        await check?.(running)
        return this.#untilOff(running, task, givenUp)
      })
    } catch (error) {
      // It ran when this was asked for, and the guest was faster.
      if (wasRunning && error instanceof InvalidStateError && error.state === 'stopped') return 'stopped'
      throw error
    }
  }

  /** What was told last may have been overtaken: of a VM that somebody has stopped by now, there is no QEMU. */
  #seemsToRun(id: string): boolean {
    const { directory, observer } = this.#parts
    const folder = directory.folder(id)
    const run = readRun(folder)
    return run !== undefined && isAlive(run.process, folder) && observer.stateOf(id) === 'running'
  }

  async #untilOff(
    { definition: { id }, folder, run, monitor }: RunningVm,
    task: Task,
    givenUp: AbortSignal,
  ): Promise<VmState> {
    task.progress({ percent: 10, phase: 'waiting for the guest' })
    await pressUntilOff({
      isOn: () => isAlive(run.process, folder),
      ended: this.#parts.observer.ended(id, run.process),
      press: () => monitor((client) => client.execute('system_powerdown')),
      givenUp,
    })
    const state = await this.#leftBehind(id)
    if (state === 'running') throw goneMeanwhile(task.operation, state)
    // Somebody else may have suspended it, or the guest died over its shutting down.
    if (state !== 'stopped') throw invalidState(state, operations['vm.stop'].from)
    return state
  }

  /** What a QEMU that is gone has made of its VM, whoever has the claim on that; `running` where there is another by now. */
  async #leftBehind(id: string): Promise<VmState> {
    const { access, directory, inspector } = this.#parts
    const definition = await access.get(id)
    const holder = directory.holder(id)
    const { state } = await inspector.lookAtRun(definition)
    // The memory of a snapshot, or what was suspended only just before: it goes on with that.
    const comesUp = state === 'suspended' && holder !== undefined && !holder.state.startsWith('suspend')
    return comesUp ? 'running' : state
  }
}
