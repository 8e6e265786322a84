import type { DescribedHost } from './host.js'
import { Trial } from './trial.js'

/** The trial of cases that work inside one VM, one after another. The next case after one that failed gets a new VM. */
export class SharedTrial {
  readonly #host: DescribedHost
  #trial: Trial | undefined

  constructor(host: DescribedHost) {
    this.#host = host
  }

  async open(): Promise<Trial> {
    this.#trial ??= await Trial.open(this.#host, { needsGuest: true, isShared: true })
    return this.#trial
  }

  /** As {@link Trial.dispose}. */
  async dispose(): Promise<void> {
    const trial = this.#trial
    this.#trial = undefined
    await trial?.dispose()
  }
}
