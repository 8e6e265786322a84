import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import { within } from './deadline.js'

/** Reads and keeps events from its creation on, and waits for expected ones. */
export class EventLog {
  readonly events: VmEvent[] = []
  /** Settles when the events end. */
  readonly ended: Promise<void>
  readonly #waiting = new Set<() => void>()
  readonly #iterator: AsyncIterator<VmEvent, undefined>

  constructor(events: AsyncIterable<VmEvent>) {
    this.#iterator = events[Symbol.asyncIterator]() as AsyncIterator<VmEvent, undefined>
    this.ended = this.#read()
  }

  /** The states that were reported, in order. */
  get states(): VmState[] {
    return this.events.flatMap((event) => (event.type === 'state' ? [event.state] : []))
  }

  /** The first event, past or future, for which this is true. */
  async until(isWanted: (event: VmEvent) => boolean, timeoutMs?: number): Promise<VmEvent> {
    let check: () => void = () => undefined
    const found = new Promise<VmEvent>((resolve) => {
      check = () => {
        const event = this.events.find(isWanted)
        if (event !== undefined) resolve(event)
      }
    })
    this.#waiting.add(check)
    check()
    try {
      return await within(found, () => `${String(isWanted)} among the events ${JSON.stringify(this.events)}`, timeoutMs)
    } finally {
      this.#waiting.delete(check)
    }
  }

  async close(): Promise<void> {
    await this.#iterator.return?.()
    await this.ended
  }

  async #read(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#iterator.next()
      if (done === true) return
      this.events.push(value)
      for (const check of this.#waiting) check()
    }
  }
}
