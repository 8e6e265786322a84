interface Shared {
  readonly state: Promise<Uint8Array>
  users: number
}

/** A saved state that is in memory until the last of its users releases it. */
export interface UsedState {
  readonly state: Promise<Uint8Array>
  readonly release: () => void
}

/** Saved states from which several machines are loaded at the same time: each is read once. */
export class SharedStates {
  readonly #states = new Map<string, Shared>()

  /** @param file its file, the name of which is unique, and the content never changed */
  use(file: string, read: () => Promise<Uint8Array>): UsedState {
    const shared = this.#states.get(file) ?? { state: read(), users: 0 }
    this.#states.set(file, shared)
    shared.users += 1
    return {
      state: shared.state,
      release: () => {
        shared.users -= 1
        if (shared.users === 0) this.#states.delete(file)
      },
    }
  }
}
