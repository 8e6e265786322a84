import type { DriverOperations } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { invalidState } from '../../errors/state.js'
import type { VmState } from '../../model/vm-state.js'
import { OutcomeUnknownError } from '../../errors.js'
import type { ParallelsHost } from './parallels-host.js'
import { parallelsError } from './parallels-errors.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { expectedStates, type ParallelsWork } from './parallels-work.js'

/** Changes of a VM's state. Parallels can't cancel one that is under way. */
export class ParallelsLifecycle {
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork

  constructor(host: ParallelsHost, work: ParallelsWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'vm.getState': ({ vm }, task) => this.#work.query(task, vm, async () => (await this.#host.look(vm)).record.state),
    'vm.start': ({ vm }, task) => this.#simple(vm, task, 'start', 'running'),
    'vm.pause': ({ vm }, task) => this.#simple(vm, task, 'pause', 'paused'),
    'vm.resume': ({ vm }, task) => this.#simple(vm, task, 'resume', 'running'),
    'vm.suspend': ({ vm }, task) => this.#work.change(task, vm, (info) => this.#suspend(info)),
    'vm.reset': ({ vm }, task) => this.#simple(vm, task, 'reset', 'running'),
    'vm.restart': ({ vm }, task) => this.#shutDown(vm, task, 'running', ['restart', argumentOf(vm)]),
    'vm.stop': ({ vm, mode }, task) => (mode === 'kill' ? this.#kill(vm, task) : this.#stop(vm, task)),
  }

  #simple(vm: string, task: Task, command: string, to: VmState): Promise<VmState> {
    return this.#work.change(task, vm, (info) => this.#work.changeState(info, to, [command, argumentOf(vm)]))
  }

  /** Parallels suspends only a running VM: a paused one runs for a moment first. */
  async #suspend(info: VmInfo): Promise<VmState> {
    const { id, state } = info.record
    const suspend = ['suspend', argumentOf(id)]
    if (state !== 'paused') return await this.#work.changeState(info, 'suspended', suspend)
    await this.#work.changeState(info, 'running', ['resume', argumentOf(id)])
    const running = await this.#work.afterwards(() => this.#host.look(id))
    try {
      return await this.#work.changeState(running, 'suspended', suspend)
    } catch (error) {
      await this.#pauseAgain(running, error)
      throw error
    }
  }

  /** Pauses a VM again that could not be suspended. */
  async #pauseAgain(info: VmInfo, cause: unknown): Promise<void> {
    const { id } = info.record
    try {
      await this.#work.changeState(info, 'paused', ['pause', argumentOf(id)])
    } catch {
      const { reason, native } = parallelsError(cause, { operation: 'vm.suspend', vm: id })
      throw new OutcomeUnknownError({
        reason: `it had to run for a moment, and could be neither suspended nor paused again: ${reason}`,
        hint: 'Ask for its state with vm.getState().',
        native,
        cause,
      })
    }
  }

  #kill(vm: string, task: Task): Promise<VmState> {
    return this.#work.change(
      task,
      vm,
      (info) => {
        if (info.record.state === 'stopped') return Promise.resolve('stopped')
        const dropsState = info.record.state === 'suspended' && this.#host.prlctl.flavour === 'desktop'
        const words = ['stop', argumentOf(vm), dropsState ? '--drop-state' : '--kill']
        return this.#work.changeState(info, 'stopped', words)
      },
      { expected: expectedStates(task, true) },
    )
  }

  #stop(vm: string, task: Task): Promise<VmState> {
    // On a Mac, a guest that does not shut down is never killed; Virtuozzo kills it after a while unless it is told not to.
    const gently = this.#host.prlctl.flavour === 'virtuozzo' ? ['--noforce'] : []
    return this.#shutDown(vm, task, 'stopped', ['stop', argumentOf(vm), ...gently])
  }

  /** Waits until the guest has shut down. */
  #shutDown(vm: string, task: Task, to: VmState, words: readonly string[]): Promise<VmState> {
    return this.#work.changePatiently(task, vm, async (info) => {
      const state = await this.#work.changeState(info, to, words)
      // Another client may have suspended it.
      if (state !== to) throw invalidState(state, expectedStates(task))
      return state
    })
  }
}
