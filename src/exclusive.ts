/**
 * Runs one action at a time for each key, in the order of the calls: changes of a VM take turns by the VM's id.
 *
 * @example
 * ```ts
 * import { Exclusive } from 'awaitvm/driver'
 *
 * const turns = new Exclusive()
 * const rename = (vm: string, action: () => Promise<void>): Promise<void> => turns.run(vm, action)
 * ```
 */
export class Exclusive {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs the action once all earlier ones of the key have ended; settles as the action does. */
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

  /** Waits until nothing is under way, actions included that begin during the wait. */
  async drain(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values())
  }
}
