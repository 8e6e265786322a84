import type { Backoff } from '../../driver/backoff.js'
import type { Sending } from '../../driver/host-work.js'
import { poll } from '../../driver/poll.js'
import type { Task } from '../../driver/task.js'
import { vmNotFound } from '../../errors/lookup.js'
import { requireState } from '../../errors/state.js'
import type { VmError } from '../../errors.js'
import { HostError, OutcomeUnknownError } from '../../errors.js'
import { Exclusive } from '../../exclusive.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationCode, type OperationSpec } from '../../operations.js'
import { parallelsError, type FailureContext } from './parallels-errors.js'
import { isDoubtful, ParallelsFailure } from './parallels-failure.js'
import type { ParallelsHost } from './parallels-host.js'
import type { RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { isSettled } from './vm-states.js'

/** Between two questions for the state of a VM that changes. */
const pauses: Backoff = { initialMs: 10, maxMs: 500 }

/** Longest time that a VM may keep its former state after prlctl has said that the change is done. */
const patienceMs = 5000

/** States in which Parallels refuses what the table of operations allows. */
const refusedFrom: Partial<Record<OperationCode, readonly VmState[]>> = { 'vm.clone': ['running', 'paused'] }

/** States in which Parallels does more than the table allows: a VM whose files can't be read can be removed. */
const allowedFrom: Partial<Record<OperationCode, readonly VmState[]>> = {
  'vm.delete': ['unknown'],
  'vm.unregister': ['unknown'],
}

/** The states in which a VM of Parallels accepts the operation. */
export function expectedStates({ operation }: Task, isKill = false): readonly VmState[] {
  const { from = [], fromKill = from }: OperationSpec = operations[operation]
  const possible = (isKill ? fromKill : from).filter((state) => refusedFrom[operation]?.includes(state) !== true)
  return [...possible, ...(allowedFrom[operation] ?? [])]
}

/** A change that the host is asked for once the VM was looked at; calls `begin` exactly once. */
type Change<T> = (begin: () => Promise<VmInfo>) => Promise<T>

/** Work on the host and its VMs: checks the state first, sends the command, and confirms the outcome by asking. */
export class ParallelsWork {
  readonly #host: ParallelsHost
  readonly #exclusive = new Exclusive()

  constructor(host: ParallelsHost) {
    this.#host = host
  }

  /** Asks the host for something. */
  query<T>(task: Task, vm: string | undefined, action: () => Promise<T>): Promise<T> {
    const context = { operation: task.operation, vm, expected: expectedStates(task) }
    return this.#host.work.query(task, () => this.#explained(context, action))
  }

  /** Adds a VM to the host, once the action has called `send`. */
  add<T>(task: Task, path: string, action: (sending: Sending) => Promise<T>): Promise<T> {
    const context = { operation: task.operation, path }
    return this.#host.work.change(task, (sending) => this.#explained(context, () => action(sending)))
  }

  /** Changes a VM that is in one of the states that the operation needs; other changes of this connection wait. */
  change<T>(
    task: Task,
    vm: string,
    action: (info: VmInfo) => Promise<T>,
    context?: Partial<FailureContext>,
  ): Promise<T> {
    const inTurn: Change<T> = (begin) =>
      this.#exclusive.run(vm, () => this.#host.inventory.during(vm, async () => action(await begin())))
    return this.#change(task, vm, inTurn, context)
  }

  /** As `change`, but while the guest takes its time, other changes of the VM don't wait. */
  changePatiently<T>(task: Task, vm: string, action: (info: VmInfo) => Promise<T>): Promise<T> {
    return this.#change(task, vm, async (begin) => {
      const info = await this.#exclusive.run(vm, begin)
      return await this.#host.inventory.during(vm, () => action(info))
    })
  }

  /** Does something in the guest of a VM, beside any change of the VM. */
  useGuest<T>(task: Task, vm: string, action: (info: VmInfo) => Promise<T>): Promise<T> {
    return this.#change(task, vm, async (begin) => action(await begin()))
  }

  #change<T>(task: Task, vm: string, change: Change<T>, context: Partial<FailureContext> = {}): Promise<T> {
    const { expected = expectedStates(task) } = context
    return this.#host.work.change(task, ({ signal, send }) =>
      this.#explained({ operation: task.operation, vm, ...context, expected }, () =>
        change(async () => {
          signal.throwIfAborted()
          const info = await this.lookFirst(vm, task, expected)
          send()
          return info
        }),
      ),
    )
  }

  /** Asks for the VM, which must be in one of the states, before anything is changed. */
  async lookFirst(vm: string, task: Task, expected: readonly VmState[] = expectedStates(task)): Promise<VmInfo> {
    const info = await this.#host.look(vm).catch((error: unknown) => {
      throw isDoubtful(error) ? parallelsError(error, { operation: 'vm.getState' }) : error
    })
    const { state, problem } = info.record
    if (problem !== undefined && !expected.includes(state)) throw problem
    requireState(task.operation, state, expected)
    return info
  }

  /** Runs a command that changes the VM's state, and answers the state that it has led to. */
  async changeState(info: VmInfo, to: VmState, words: readonly string[]): Promise<VmState> {
    const { id, state: from } = info.record
    // A reset ends in the state in which it began: its outcome can't be seen.
    const isDone = async (): Promise<boolean> => from !== to && (await this.#host.look(id)).record.state === to
    await this.changeOnce(words, isDone)
    return await this.settle(id, to, from)
  }

  /** Runs a command that changes something. If its outcome is in doubt, what can be seen of it decides. */
  async changeOnce(
    words: readonly string[],
    isDone: () => Promise<boolean>,
    options?: Partial<RunOptions>,
  ): Promise<void> {
    try {
      await this.#host.prlctl.change(words, options)
    } catch (error) {
      if (!isDoubtful(error) || this.#host.work.isClosed || !(await this.#isSeen(isDone))) throw error
    }
  }

  /** Removes a VM, with its files or without. */
  async remove(vm: string, command: 'delete' | 'unregister'): Promise<void> {
    const isGone = async (): Promise<boolean> =>
      (await this.#host.prlctl.list()).every(({ record }) => record.id !== vm)
    await this.changeOnce([command, argumentOf(vm)], isGone)
    this.#host.inventory.forget(vm)
  }

  async #isSeen(isDone: () => Promise<boolean>): Promise<boolean> {
    try {
      return await isDone()
    } catch {
      // The outcome stays in doubt, which is what the caller reports.
      return false
    }
  }

  /** Asks a question after a change was made. Without an answer, the outcome of the change is unknown. */
  async afterwards<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      const isGone = error instanceof ParallelsFailure && error.kind === 'vm-not-found'
      if (isGone || this.#host.work.isClosed) throw error
      const { reason, native } = parallelsError(error, { operation: 'vm.getState' })
      throw new OutcomeUnknownError({
        reason: `the host accepted it, and could not be asked for the outcome: ${reason}`,
        hint: 'Ask for the state of the VM once the host answers.',
        native,
        cause: error,
      })
    }
  }

  /** Waits until the VM has reached the state, or has settled in another one. */
  async settle(vm: string, to: VmState, from: VmState): Promise<VmState> {
    const look = async (waitedMs: number): Promise<VmState | undefined> => {
      const { state } = (await this.afterwards(() => this.#host.look(vm))).record
      if (state === to || (isSettled(state) && state !== from)) return state
      if (isSettled(state) && waitedMs > patienceMs) {
        const message = `prlctl reported success, and the VM is still ${state}`
        throw new HostError({ reason: message, native: { driver: 'parallels', message } })
      }
      if (waitedMs > this.#host.prlctl.changeTimeoutMs) {
        throw new OutcomeUnknownError({
          reason: `it is still ${state}`,
          hint: 'Wait for another state with vm.waitForState().',
        })
      }
      return undefined
    }
    return await poll(look, { ...pauses, signal: this.#host.work.closing })
  }

  /** Runs an action whose failures become errors of awaitvm. */
  async #explained<T>(context: FailureContext, action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      // The host's work words the errors of a connection that is closed.
      throw this.#host.work.isClosed ? error : await this.explain(error, context)
    }
  }

  /** The error of awaitvm for a failure. */
  async explain(error: unknown, context: FailureContext): Promise<VmError> {
    const { vm, expected = [] } = context
    if (!(error instanceof ParallelsFailure) || vm === undefined) return parallelsError(error, context)
    if (error.kind === 'vm-not-found') this.#host.inventory.forget(vm)
    if (error.kind !== 'state' && error.kind !== 'busy') return parallelsError(error, context)
    // The host refuses a state, and may not say which it is.
    try {
      const { state } = (await this.#host.look(vm)).record
      const isRefused = expected.length > 0 && !expected.includes(state)
      return parallelsError(isRefused ? new ParallelsFailure('state', error.native, error) : error, {
        ...context,
        state,
      })
    } catch (failure) {
      const isGone = failure instanceof ParallelsFailure && failure.kind === 'vm-not-found'
      return isGone ? vmNotFound(vm) : parallelsError(error, context)
    }
  }
}
