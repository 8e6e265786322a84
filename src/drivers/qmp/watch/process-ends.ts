import type { ProcessIdentity } from '../../../registry/process-identity.js'

/** Waits for the ends of processes that are not children of this one: the system does not report them. */
export class ProcessEnds {
  readonly #isAlive: (process: ProcessIdentity) => boolean
  readonly #waiting = new Map<ProcessIdentity, Set<() => void>>()

  constructor(isAlive: (process: ProcessIdentity) => boolean) {
    this.#isAlive = isAlive
  }

  /** Resolves at the first `tell()` after the end of the process, or at the close. */
  until(process: ProcessIdentity): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(process) ?? new Set()
      this.#waiting.set(process, waiting.add(resolve))
    })
  }

  /** True if a process has ended that is still waited for. */
  get isDue(): boolean {
    return [...this.#waiting.keys()].some((process) => !this.#isAlive(process))
  }

  tell(): void {
    for (const process of this.#waiting.keys()) if (!this.#isAlive(process)) this.#resolve(process)
  }

  close(): void {
    for (const process of this.#waiting.keys()) this.#resolve(process)
  }

  #resolve(process: ProcessIdentity): void {
    const waiting = this.#waiting.get(process) ?? []
    this.#waiting.delete(process)
    for (const resolve of waiting) resolve()
  }
}
