import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { unlessDeleted, vmNotFound } from '../../errors/lookup.js'
import { guestGone, invalidState, requireState } from '../../errors/state.js'
import type { VmError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { stateAtRest } from '../../registry/kept-definition.js'
import type { Definition } from './definition.js'
import type { EmbeddedClaims } from './embedded-claims.js'
import { embeddedError, nativeError } from './embedded-errors.js'
import type { EmbeddedLifecycle } from './embedded-lifecycle.js'
import type { EmbeddedStore } from './embedded-store.js'
import type { LiveVm } from './live-vm.js'
import { isGone } from './machine/is-gone.js'
import { MachineCrashedError } from './machine/machine-thread.js'

export type ChangeAction<T> = (definition: Definition, live: LiveVm | undefined) => Promise<T>
export type LiveAction<T> = (live: LiveVm, definition: Definition) => Promise<T>

/** A change that needs a VM which runs in this process. */
export const liveOnly =
  <T>(action: LiveAction<T>): ChangeAction<T> =>
  async (definition, live) => {
    if (live === undefined) throw invalidState(stateAtRest(definition), ['running'])
    return action(live, definition)
  }

/** How operations reach a VM: exclusively, to change it, or concurrently, if it runs. */
export class EmbeddedAccess {
  readonly #store: EmbeddedStore
  readonly #claims: EmbeddedClaims
  readonly #lifecycle: EmbeddedLifecycle

  constructor(store: EmbeddedStore, claims: EmbeddedClaims, lifecycle: EmbeddedLifecycle) {
    this.#store = store
    this.#claims = claims
    this.#lifecycle = lifecycle
  }

  async get(id: string): Promise<Definition> {
    const definition = await this.#store.get(id)
    if (definition === undefined) throw vmNotFound(id)
    return definition
  }

  /** Changes a VM that is in one of the states that the operation needs, after all earlier changes of the VM. */
  change<T>(
    vm: string,
    task: Task,
    { send }: Sending,
    action: ChangeAction<T>,
    expected?: readonly VmState[],
  ): Promise<T> {
    return this.alone(vm, task, async () => {
      const definition = await this.get(vm)
      await this.requireState(definition, task, expected)
      send()
      return action(definition, this.#lifecycle.live(vm))
    })
  }

  /** Runs an action after all earlier changes of the VM. */
  alone<T>(vm: string, task: Task, action: () => Promise<T>): Promise<T> {
    // Read before any waiting: it makes the job cancellable from its start, also after it was sent.
    const { signal } = task
    return this.#lifecycle.exclusively(vm, () => {
      signal.throwIfAborted()
      return action()
    })
  }

  /** Reads from a VM that runs in this process, or sends input to it, without waiting for changes of the VM. */
  async use<T>(vm: string, task: Task, { send }: Sending, action: LiveAction<T>): Promise<T> {
    const definition = await this.get(vm)
    const state = await this.requireState(definition, task)
    const live = this.#lifecycle.live(vm)
    if (live === undefined) throw invalidState(state, ['running'])
    send()
    return action(live, definition)
  }

  async requireState(definition: Definition, { operation }: Task, expected?: readonly VmState[]): Promise<VmState> {
    const state = await this.#claims.stateForChange(definition)
    requireState(operation, state, expected, this.#lifecycle.live(definition.id)?.problem)
    return state
  }

  async explain(error: unknown, task: Task | undefined): Promise<VmError> {
    if (error instanceof MachineCrashedError) return guestGone(task?.operation, 'crashed', nativeError(error))
    if (isGone(error)) return guestGone(task?.operation, 'stopped')
    const id = task?.target?.type === 'vm' ? task.target.id : undefined
    return embeddedError(id === undefined ? error : await unlessDeleted(error, id, () => this.#store.get(id)))
  }
}
