import { wallClockMs } from '../../clock.js'
import { requireDuration, type HostClock } from './clock.js'

interface Pending {
  readonly dueMs: number
  readonly run: () => void
  timer: NodeJS.Timeout | undefined
}

/**
 * The clock of this machine. It looks the timers of `globalThis` up at each use, so that fake timers move it together with
 * awaitvm's own.
 */
export class RealClock implements HostClock {
  readonly #pending = new Set<Pending>()
  #isSuspended = false

  get now(): number {
    return wallClockMs()
  }

  get elapsedMs(): number {
    return performance.now()
  }

  after(ms: number, run: () => void): () => void {
    const pending: Pending = { dueMs: performance.now() + ms, run, timer: undefined }
    this.#pending.add(pending)
    if (!this.#isSuspended) this.#arm(pending, ms)
    return () => {
      this.#pending.delete(pending)
      clearTimeout(pending.timer)
    }
  }

  async advance(ms: number): Promise<void> {
    requireDuration(ms)
    await new Promise<void>((resolve) => setTimeout(resolve, ms))
  }

  async next(): Promise<boolean> {
    const [next] = [...this.#pending].sort((a, b) => a.dueMs - b.dueMs)
    if (next === undefined) return false
    await this.advance(Math.max(0, next.dueMs - performance.now()))
    return true
  }

  whileBusy<T>(work: Promise<T>): Promise<T> {
    return work
  }

  suspend(): void {
    this.#isSuspended = true
    for (const { timer } of this.#pending) clearTimeout(timer)
  }

  resume(): void {
    if (!this.#isSuspended) return
    this.#isSuspended = false
    for (const pending of this.#pending) this.#arm(pending, Math.max(0, pending.dueMs - performance.now()))
  }

  #arm(pending: Pending, ms: number): void {
    pending.timer = setTimeout(() => {
      this.#pending.delete(pending)
      pending.run()
    }, ms)
  }
}
