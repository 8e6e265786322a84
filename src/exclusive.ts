/** One action at a time for each key, in the order of the calls. */
export class Exclusive {
  readonly #last = new Map<string, Promise<unknown>>()

  async run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const previous = this.#last.get(key)
    const current = previous === undefined ? action() : previous.then(action, action)
    this.#last.set(key, current)
    try {
      return await current
    } finally {
      if (this.#last.get(key) === current) this.#last.delete(key)
    }
  }

  /** Waits until nothing is under way; what comes meanwhile is waited for too. */
  async drain(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}
