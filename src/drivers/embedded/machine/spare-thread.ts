interface Thread {
  readonly exited: Promise<void>
  terminate(): Promise<void>
}

/** Keeps one thread ready while anybody may want one: starting it takes as long as loading a machine into it. */
export class SpareThread<T extends Thread> {
  readonly #start: () => Promise<T>
  #users = 0
  #spare: Promise<T> | undefined

  constructor(start: () => Promise<T>) {
    this.#start = start
  }

  /** Announces a user, and waits until a thread is ready for it. */
  async open(): Promise<void> {
    this.#users += 1
    try {
      await this.#prepare()
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** A user has gone; with the last one the thread goes, too. */
  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    const spare = this.#spare
    this.#spare = undefined
    await (await settled(spare))?.terminate()
  }

  take(): Promise<T> {
    const spare = this.#spare ?? this.#start()
    this.#spare = undefined
    return spare
  }

  /** Makes another one ready, for whoever comes next. */
  replenish(): void {
    // Should it fail, then so will whoever takes the next one, and tell.
    if (this.#users > 0) this.#prepare().catch(() => undefined)
  }

  async #prepare(): Promise<void> {
    if (this.#spare !== undefined) return
    const spare = this.#start()
    this.#spare = spare
    const forget = (): void => {
      if (this.#spare === spare) this.#spare = undefined
    }
    spare.then((thread) => thread.exited.then(forget), forget)
    await spare
  }
}

const settled = async <T>(promise: Promise<T> | undefined): Promise<T | undefined> => {
  try {
    return await promise
  } catch {
    // A thread that did not start need not be ended; whoever waited for it has been told.
    return undefined
  }
}
