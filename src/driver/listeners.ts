import type { VmEvent } from '../model/vm-event.js'

/**
 * The listeners of a driver's events. Both members are bound, so that they can be handed on as functions.
 *
 * @example
 * ```ts
 * import { Listeners } from 'awaitvm/driver'
 *
 * class MyDriver {
 *   readonly #listeners = new Listeners()
 *   readonly subscribe = this.#listeners.subscribe
 *
 *   noteDeleted(vmId: string, name: string): void {
 *     this.#listeners.emit({ type: 'deleted', vmId, name, at: new Date() })
 *   }
 * }
 * ```
 */
export class Listeners {
  readonly #listeners = new Set<{ readonly hear: (event: VmEvent) => void }>()

  /** Calls the listener at each event until the returned function is called. A listener that is added twice is called twice. */
  readonly subscribe = (hear: (event: VmEvent) => void): (() => void) => {
    const listener = { hear }
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Passes an event to every listener, in the order in which they subscribed. */
  readonly emit = (event: VmEvent): void => {
    for (const { hear } of this.#listeners) hear(event)
  }

  /** True while nobody listens: then a driver need not ask its host for changes. */
  get isEmpty(): boolean {
    return this.#listeners.size === 0
  }
}
