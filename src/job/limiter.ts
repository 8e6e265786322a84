import { inCallerContext } from './caller-context.js'

/**
 * Limits how many operations run at once; the rest wait in line. Not p-queue: it costs more than the rest of a call, and a
 * place in this line is given up in constant time.
 */
export class Limiter {
  readonly #limit: number
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Starts at once if a place is free; else returns a function that leaves the line. */
  enter(start: () => void): (() => void) | undefined {
    if (this.#running < this.#limit) {
      this.#running += 1
      start()
      return undefined
    }
    const later = inCallerContext(start)
    this.#waiting.add(later)
    return () => void this.#waiting.delete(later)
  }

  /** Gives a place back, to the first in line. */
  leave(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next()
      return
    }
    this.#running -= 1
  }
}
