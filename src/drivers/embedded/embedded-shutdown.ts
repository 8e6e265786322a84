import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { JobCancelledError } from '../../errors.js'
import { invalidState, stoppedBeforeShutdown } from '../../errors/state.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import type { Definition } from './definition.js'
import { liveOnly, type EmbeddedAccess } from './embedded-access.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import type { EmbeddedLifecycle } from './embedded-lifecycle.js'
import type { LiveVm } from './live-vm.js'
import { isGone } from './machine/is-gone.js'
import { MachineTerminatedError } from './machine/machine-thread.js'

interface Parts {
  readonly access: EmbeddedAccess
  readonly claims: EmbeddedClaims
  readonly lifecycle: EmbeddedLifecycle
}

/** Shutdowns and restarts by the guest. Other changes of the VM are possible while the guest shuts down. */
export class EmbeddedShutdown {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async stop(vm: string, task: Task, sending: Sending): Promise<VmState> {
    await this.#shutDown(vm, task, sending)
    return 'stopped'
  }

  async restart(vm: string, task: Task, sending: Sending): Promise<VmState> {
    const { access, lifecycle } = this.#parts
    const canComeUp = (definition: Definition): Promise<unknown> => lifecycle.prepare(definition, 'start')
    const { hasShutDown } = await this.#shutDown(vm, task, sending, canComeUp)
    if (!hasShutDown) throw stoppedBeforeShutdown()
    const { from } = operations['vm.start']
    return access.change(vm, task, sending, (definition) => lifecycle.powerOn(definition, task), from)
  }

  /** Presses the power button, and waits until the VM has stopped, for any reason. Returns the VM as it ran. */
  async #shutDown(
    vm: string,
    task: Task,
    sending: Sending,
    check?: (definition: Definition) => Promise<unknown>,
  ): Promise<LiveVm> {
    const { access, claims, lifecycle } = this.#parts
    const press = async (live: LiveVm, definition: Definition): Promise<readonly [LiveVm, Promise<never>]> => {
      await check?.(definition)
      // Before the press: a cancel during the press must not be answered as if nothing was done.
      const withdrawal = withdrawable(live, task)
      try {
        await live.machine.pressPowerButton()
      } catch (error) {
        // The guest has stopped by itself.
        if (!isGone(error)) throw error
      }
      return [live, withdrawal]
    }
    const [live, withdrawal] = await access.change(vm, task, sending, liveOnly(press))
    task.progress({ percent: 10, phase: 'waiting for the guest' })
    await Promise.race([lifecycle.ended(live), withdrawal])
    if (lifecycle.isClosed && !live.hasShutDown) throw new MachineTerminatedError()
    const state = await claims.stateOf(await access.get(vm))
    // Another operation has suspended it, or the guest crashed as it shut down.
    if (state !== 'stopped') throw invalidState(state, operations['vm.stop'].from)
    return live
  }
}

/**
 * Makes a press of the power button cancellable until the guest notices it; rejects once it was cancelled. After that moment
 * the operation can't be cancelled: a restart goes on to its end.
 */
function withdrawable(live: LiveVm, task: Task): Promise<never> {
  const withdrawn = new Promise<never>((_resolve, reject) => {
    task.cancelWith(async (reason) => {
      if (!(await live.machine.withdrawPowerButton())) return false
      reject(new JobCancelledError({ reason: reason ?? 'it was cancelled before the guest took notice' }))
      return true
    })
  })
  // The job may have ended before: then nobody awaits this promise.
  withdrawn.catch(() => undefined)
  return withdrawn
}
