import type { VmEvent } from './model/vm-event.js'

/** How many events wait for a slow reader; at some 200 bytes each, about 2 MB. */
const capacity = 10_000

/**
 * The events of `server.events()` for one reader, in order and bounded: if the reader is too slow, an `overflow` event takes the place of
 * the lost ones.
 *
 * @example
 * ```ts
 * import type { Server } from 'awaitvm'
 *
 * async function log(server: Server): Promise<void> {
 *   for await (const event of server.events({ types: ['state'] })) console.log(event)
 * }
 * ```
 */
export class EventQueue implements AsyncIterableIterator<VmEvent, undefined> {
  readonly #onEnd: (queue: EventQueue) => void
  readonly #isWanted: (event: VmEvent) => boolean
  #events: VmEvent[] = []
  #waiting: ((result: IteratorResult<VmEvent, undefined>) => void)[] = []
  /** The last event in line, while there is no room for others. */
  #overflow: { readonly type: 'overflow'; dropped: number; readonly at: Date } | undefined
  #isEnded = false

  /** @internal */
  constructor(onEnd: (queue: EventQueue) => void, isWanted: (event: VmEvent) => boolean) {
    this.#onEnd = onEnd
    this.#isWanted = isWanted
  }

  /** @internal */
  push(event: VmEvent): void {
    if (!this.#isWanted(event)) return
    const reader = this.#waiting.shift()
    if (reader !== undefined) reader({ done: false, value: event })
    else if (this.#events.length < capacity) {
      this.#overflow = undefined
      this.#events.push(event)
    } else if (this.#overflow === undefined) {
      this.#overflow = { type: 'overflow', dropped: 1, at: new Date() }
      this.#events.push(this.#overflow)
    } else this.#overflow.dropped += 1
  }

  /**
   * Ends the queue; the reader still gets what is left.
   * @internal
   */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#onEnd(this)
    for (const reader of this.#waiting) reader({ done: true, value: undefined })
    this.#waiting = []
  }

  /** The next event, once there is one; done when the listening has ended. */
  next(): Promise<IteratorResult<VmEvent, undefined>> {
    const event = this.#events.shift()
    if (event !== undefined) return Promise.resolve({ done: false, value: event })
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Ends the listening, and drops what has not been read. */
  return(): Promise<IteratorResult<VmEvent, undefined>> {
    this.#events = []
    this.end()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** The queue itself: it has one reader. */
  [Symbol.asyncIterator](): this {
    return this
  }

  /** Ends the listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
