import type { Backoff } from '../../driver/backoff.js'
import { poll } from '../../driver/poll.js'
import { hostTask } from '../../driver/host-task.js'
import type { Task } from '../../driver/task.js'
import { closedBeforeAnswer, closedBeforeSending } from '../../errors/closed.js'
import { vmNotFound } from '../../errors/lookup.js'
import { invalidState } from '../../errors/state.js'
import type { VmError } from '../../errors.js'
import { HostError, JobCancelledError, OutcomeUnknownError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationSpec } from '../../operations.js'
import { Exclusive } from '../../exclusive.js'
import type { ParallelsHost } from './parallels-host.js'
import { parallelsError, type FailureContext } from './parallels-errors.js'
import { isDoubtful, ParallelsFailure } from './parallels-failure.js'
import type { RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { isSettled } from './vm-states.js'

/** Between two questions for the state of a VM that changes. */
const pauses: Backoff = { initialMs: 10, maxMs: 500 }

/** How long a VM may stay in the state that it was in before, once prlctl has said that it is done. */
const patienceMs = 5000

/** States in which Parallels refuses what others allow there. */
const refusedFrom: Partial<Record<string, readonly VmState[]>> = { 'vm.clone': ['running', 'paused'] }

/** States in which Parallels does what others refuse there: a VM whose files can't be read can be taken away. */
const allowedFrom: Partial<Record<string, readonly VmState[]>> = {
  'vm.delete': ['unknown'],
  'vm.unregister': ['unknown'],
}

/** The states in which a VM of Parallels accepts the operation. */
export function expectedStates({ operation }: Task, isKill = false): readonly VmState[] {
  const { from = [], fromKill = from }: OperationSpec = operations[operation]
  const possible = (isKill ? fromKill : from).filter((state) => refusedFrom[operation]?.includes(state) !== true)
  return [...possible, ...(allowedFrom[operation] ?? [])]
}

/** Work on VMs, one piece after another for each: asked before, done, and confirmed by asking. */
export class ParallelsWork {
  readonly #host: ParallelsHost
  readonly #exclusive = new Exclusive()
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(host: ParallelsHost) {
    this.#host = host
  }

  /** A question; it changes nothing. */
  query<T>(task: Task, vm: string | undefined, action: () => Promise<T>): Promise<T> {
    return this.guard({ operation: task.operation, vm, isQuery: true }, action)
  }

  /** A change of a VM that is in one of the states that the operation needs, with nobody else of this connection at it. */
  change<T>(
    task: Task,
    vm: string,
    action: (info: VmInfo) => Promise<T>,
    context: Partial<FailureContext> = {},
  ): Promise<T> {
    const expected = context.expected ?? expectedStates(task)
    let isCancelled = false
    const send = hostTask(task).holdBack()
    // As long as nothing was sent, it can be cancelled.
    const forget = task.cancelWith(() => {
      isCancelled = true
      return true
    })
    const attempt = async (): Promise<T> => {
      const info = await this.lookFirst(vm, expected)
      forget()
      if (isCancelled) throw new JobCancelledError({ reason: 'it was cancelled before anything was sent' })
      if (this.#host.isClosed) throw closedBeforeSending()
      send()
      return await action(info)
    }
    const work = (): Promise<T> => this.#host.inventory.during(vm, attempt)
    const guarded = this.guard({ operation: task.operation, vm, ...context, expected }, () =>
      this.#exclusive.run(vm, work),
    )
    return guarded.finally(forget)
  }

  /** Asks for the VM, which must be in one of the states; nothing has been done yet. */
  async lookFirst(vm: string, expected: readonly VmState[]): Promise<VmInfo> {
    const info = await this.#first(() => this.#host.look(vm))
    const { state, problem } = info.record
    if (!expected.includes(state)) throw problem ?? invalidState(state, expected)
    return info
  }

  /** Runs a command that changes the VM's state, and answers the state that it has led to. */
  async changeState(info: VmInfo, to: VmState, words: readonly string[]): Promise<VmState> {
    const { id, state: from } = info.record
    // A reset leads to where it began: nothing can be seen of it.
    const isDone = async (): Promise<boolean> => from !== to && (await this.#host.look(id)).record.state === to
    await this.changeOnce(words, isDone)
    return await this.settle(id, to, from)
  }

  /** Runs a command that changes something. Where it is in doubt whether that was done, what can be seen of it decides. */
  async changeOnce(
    words: readonly string[],
    isDone: () => Promise<boolean>,
    options?: Partial<RunOptions>,
  ): Promise<void> {
    try {
      await this.#host.prlctl.change(words, options)
    } catch (error) {
      if (!isDoubtful(error) || this.#host.isClosed || !(await this.#isSeen(isDone))) throw error
    }
  }

  async takeAway(vm: string, command: 'delete' | 'unregister'): Promise<void> {
    const isGone = async (): Promise<boolean> =>
      (await this.#host.prlctl.list()).every(({ record }) => record.id !== vm)
    await this.changeOnce([command, argumentOf(vm)], isGone)
    this.#host.inventory.forget(vm)
  }

  async #isSeen(isDone: () => Promise<boolean>): Promise<boolean> {
    try {
      return await isDone()
    } catch {
      // Nobody can say: it stays in doubt, and the caller hears of that.
      return false
    }
  }

  /** A question that is put once a change was made. Where there is no answer, it is not known how the change has ended. */
  async afterwards<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (this.#host.isClosed) throw closedBeforeAnswer(error)
      if (error instanceof ParallelsFailure && error.kind === 'vm-not-found') throw error
      const { reason, native } = parallelsError(error, { operation: 'vm.getState', isQuery: true })
      throw new OutcomeUnknownError({
        reason: `the host has taken it, and does not tell how it is now: ${reason}`,
        hint: 'Ask for the state of the VM once the host answers.',
        native,
        cause: error,
      })
    }
  }

  /** Waits until the host says that the VM is where it was to go, or has settled somewhere else. */
  async settle(vm: string, to: VmState, from: VmState): Promise<VmState> {
    const look = async (waitedMs: number): Promise<VmState | undefined> => {
      const { state } = (await this.afterwards(() => this.#host.look(vm))).record
      if (state === to || (isSettled(state) && state !== from)) return state
      if (isSettled(state) && waitedMs > patienceMs) {
        const message = `prlctl said that it was done, and the VM is still ${state}`
        throw new HostError({ reason: message, native: { driver: 'parallels', message } })
      }
      if (waitedMs > this.#host.prlctl.changeTimeoutMs) {
        throw new OutcomeUnknownError({
          reason: `it is still ${state}`,
          hint: 'Wait for another state with vm.waitForState().',
        })
      }
      if (this.#host.isClosed) throw closedBeforeAnswer()
      return undefined
    }
    return await poll(look, pauses)
  }

  /** Lets the action's failures be told as errors, and a close wait for it. */
  guard<T>(context: FailureContext, action: () => Promise<T>): Promise<T> {
    const work = this.#perform(context, action)
    this.#underWay.add(work)
    const forget = (): void => void this.#underWay.delete(work)
    work.then(forget, forget)
    return work
  }

  async drain(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }

  async #perform<T>(context: FailureContext, action: () => Promise<T>): Promise<T> {
    if (this.#host.isClosed) throw closedBeforeSending()
    try {
      return await action()
    } catch (error) {
      throw await this.#explain(error, context)
    }
  }

  async #explain(error: unknown, context: FailureContext): Promise<VmError> {
    if (!(error instanceof ParallelsFailure)) return parallelsError(error, context)
    if (this.#host.isClosed && (error.kind === 'lost' || error.kind === 'overdue')) {
      return context.isQuery === true ? closedBeforeSending(error) : closedBeforeAnswer(error)
    }
    const { vm } = context
    if (vm === undefined) return parallelsError(error, context)
    if (error.kind === 'vm-not-found') {
      this.#host.inventory.forget(vm)
      return parallelsError(error, context)
    }
    if (error.kind !== 'state' && error.kind !== 'busy') return parallelsError(error, context)
    // The host refuses a state, and may not say which it is.
    try {
      const { state } = (await this.#host.look(vm)).record
      const isRefused = context.expected?.includes(state) === false
      return parallelsError(isRefused ? new ParallelsFailure('state', error.native, error) : error, {
        ...context,
        state,
      })
    } catch (failure) {
      const isGone = failure instanceof ParallelsFailure && failure.kind === 'vm-not-found'
      return isGone ? vmNotFound(vm) : parallelsError(error, context)
    }
  }

  /** A question that fails before anything was changed. */
  async #first<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof ParallelsFailure && this.#host.isClosed) throw closedBeforeSending(error)
      if (error instanceof ParallelsFailure && (error.kind === 'lost' || error.kind === 'overdue')) {
        throw parallelsError(error, { operation: 'vm.getState', isQuery: true })
      }
      throw error
    }
  }
}
