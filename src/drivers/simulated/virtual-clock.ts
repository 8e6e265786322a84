import { requireDuration, type HostClock } from './clock.js'
import { TimerQueue } from './timer-queue.js'

/** The real one, which fake timers do not replace. */
const { setImmediate } = globalThis

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A clock that stands still until a test moves it. */
export class VirtualClock implements HostClock {
  readonly #timers = new TimerQueue()
  readonly #startMs: number
  readonly #busy = new Set<Promise<unknown>>()
  #nowMs: number
  /** The last movement: they run one after the other. */
  #moving: Promise<unknown> = Promise.resolve()

  constructor(startMs: number) {
    this.#startMs = startMs
    this.#nowMs = startMs
  }

  get now(): number {
    return this.#nowMs
  }

  get elapsedMs(): number {
    return this.#nowMs - this.#startMs
  }

  after(ms: number, run: () => void): () => void {
    return this.#timers.add({ dueMs: this.#nowMs + ms, run })
  }

  async advance(ms: number): Promise<void> {
    requireDuration(ms)
    await this.#move(async () => {
      const untilMs = this.#nowMs + ms
      while (await this.#doNext(untilMs));
      this.#nowMs = untilMs
    })
  }

  next(): Promise<boolean> {
    return this.#move(() => this.#doNext(Infinity))
  }

  async whileBusy<T>(work: Promise<T>): Promise<T> {
    this.#busy.add(work)
    try {
      return await work
    } finally {
      this.#busy.delete(work)
    }
  }

  suspend(): void {
    // It has no timer of Node.
  }

  resume(): void {
    // Nothing was suspended.
  }

  /** Goes to the next moment at which something is due, and does all that is due then, in order. False if it is later than `untilMs`. */
  async #doNext(untilMs: number): Promise<boolean> {
    const first = this.#timers.peek()
    if (first === undefined || first.dueMs > untilMs) return false
    this.#nowMs = first.dueMs
    while (this.#timers.peek()?.dueMs === this.#nowMs) this.#timers.take()?.run()
    await this.#settle()
    return true
  }

  #move<T>(movement: () => Promise<T>): Promise<T> {
    const moved = this.#moving.then(async () => {
      await this.#settle()
      return await movement()
    })
    this.#moving = moved
    return moved
  }

  /** Waits until nothing goes on without time passing. */
  async #settle(): Promise<void> {
    await turn()
    while (this.#busy.size > 0) {
      await Promise.allSettled(this.#busy)
      await turn()
    }
  }
}
