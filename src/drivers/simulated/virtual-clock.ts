import { requireDuration, type HostClock } from './clock.js'
import { TimerQueue } from './timer-queue.js'

/** Not the one that fake timers put in its place. */
const { setImmediate } = globalThis

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Time that stands still until a test moves it. */
export class VirtualClock implements HostClock {
  readonly #timers = new TimerQueue()
  readonly #startMs: number
  readonly #busy = new Set<Promise<unknown>>()
  #nowMs: number
  /** One movement at a time. */
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
    // It keeps no timer of Node's.
  }

  resume(): void {
    // Nothing was suspended.
  }

  /** Does what is due next, unless that is later: all of one moment, in order. */
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

  /** Lets everything go on that can without time passing. */
  async #settle(): Promise<void> {
    await turn()
    while (this.#busy.size > 0) {
      await Promise.allSettled(this.#busy)
      await turn()
    }
  }
}
