import { hostTask } from '../../driver/host-task.js'
import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { guestGone, invalidState, stoppedBeforeShutdown } from '../../errors/state.js'
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

/** Shutdowns and restarts, which the guest itself has to do. The VM is not claimed while the guest shuts down. */
export class VmShutdown {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Asks the guest to shut down. When the job's time is over, the guest is not asked again. */
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
   * A guest that shuts down only after the job's time is over is started all the same, so that the VM does not stay stopped. A VM
   * that was stopped in another way stays stopped.
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
    if ((await announcedEnd(held.folder)) !== 'guest') throw stoppedBeforeShutdown()
    return this.#parts.lifecycle.powerOn(held, task)
  }

  /**
   * Presses the power button, and waits until the guest has shut down. The operation can't be cancelled: a press can't be taken
   * back, and QEMU does not tell whether the guest noticed it.
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
      // The VM ran when this was called, and the guest was faster.
      if (wasRunning && error instanceof InvalidStateError && error.state === 'stopped') return 'stopped'
      throw error
    }
  }

  /** The last reported state may be outdated, so that the process is checked, too. */
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
      isEnding: async () => (await announcedEnd(folder)) !== undefined,
      givenUp,
    })
    const state = await this.#leftBehind(id)
    if (state === 'running') throw guestGone(task.operation, state)
    // Another client may have suspended the VM, or the guest crashed during its shutdown.
    if (state !== 'stopped') throw invalidState(state, operations['vm.stop'].from)
    return state
  }

  /** The state that a QEMU has left its VM in, regardless of a claim; `running` if there is another QEMU by now. */
  async #leftBehind(id: string): Promise<VmState> {
    const { access, directory, inspector } = this.#parts
    const definition = await access.get(id)
    const holder = directory.holder(id)
    const { state } = await inspector.lookAtRun(definition)
    // Another operation is starting the VM from saved memory.
    const comesUp = state === 'suspended' && holder !== undefined && !holder.state.startsWith('suspend')
    return comesUp ? 'running' : state
  }
}
