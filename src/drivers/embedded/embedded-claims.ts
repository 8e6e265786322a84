import { isDeepStrictEqual } from 'node:util'
import { ResourceBusyError } from '../../errors.js'
import { vmNotFound } from '../../errors/lookup.js'
import type { VmState } from '../../model/vm-state.js'
import { heldBy } from '../../registry/claim.js'
import { stateAtRest } from '../../registry/kept-definition.js'
import type { Definition } from './definition.js'
import type { EmbeddedStore, Lease } from './embedded-store.js'

/** The claims of this connection on VMs, and the states of VMs as their claims tell them. */
export class EmbeddedClaims {
  readonly #store: EmbeddedStore
  /** The state of each VM that this connection has a claim on. */
  readonly #states = new Map<string, VmState>()

  constructor(store: EmbeddedStore) {
    this.#store = store
  }

  async stateOf(definition: Definition): Promise<VmState> {
    const own = this.#states.get(definition.id)
    const state = own ?? (await this.#store.holder(definition.id))?.state
    if (state !== undefined) return state
    // Another process may have changed the VM, and released it, since the definition was read.
    const replaced = await this.#store.replaced(definition)
    return replaced === undefined ? stateAtRest(definition) : await this.stateOf(replaced)
  }

  /**
   * The state of a VM that is to be changed.
   *
   * @throws ResourceBusyError if another process or connection has a claim on it
   */
  async stateForChange(definition: Definition): Promise<VmState> {
    const own = this.#states.get(definition.id)
    if (own !== undefined) return own
    const holder = await this.#store.holder(definition.id)
    if (holder !== undefined) throw heldBy(holder)
    return stateAtRest((await this.#store.replaced(definition)) ?? definition)
  }

  /** Sets the state of a claimed VM for this connection, without telling other processes. */
  note(id: string, state: VmState): void {
    this.#states.set(id, state)
  }

  /**
   * Claims a VM that is at rest.
   *
   * @param definition as it was read
   * @throws ResourceBusyError if the VM was changed since it was read: the operation would undo that
   */
  async lease(definition: Definition): Promise<Lease> {
    const { id } = definition
    const { lease, definition: present } = await this.#store.lease(id)
    if (!isDeepStrictEqual(present, definition)) {
      lease.release()
      if (present === undefined) throw vmNotFound(id)
      throw new ResourceBusyError({ reason: 'another process has just changed it', hint: 'Try again.' })
    }
    this.note(id, stateAtRest(definition))
    return {
      setState: (state) => {
        lease.setState(state)
        this.note(id, state)
      },
      release: () => {
        this.#states.delete(id)
        lease.release()
      },
    }
  }

  /** Holds the claim on a VM that does not run while the action works on it. */
  async withLease<T>(definition: Definition, action: (lease: Lease) => Promise<T>): Promise<T> {
    const lease = await this.lease(definition)
    try {
      return await action(lease)
    } finally {
      lease.release()
    }
  }

  /** Replaces the definition of a VM under its claim. */
  async save(before: Definition, after: Definition, { isLive }: { readonly isLive: boolean }): Promise<void> {
    const save = (): Promise<void> => this.#store.save(after)
    // A live VM has a claim already.
    await (isLive ? save() : this.withLease(before, save))
  }
}
