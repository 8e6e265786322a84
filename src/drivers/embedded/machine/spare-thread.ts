interface Thread {
  readonly exited: Promise<void>
  terminate(): Promise<void>
}

/** Keeps one thread ready while there are users: starting it takes as long as loading a machine into it. */
export class SpareThread<T extends Thread> {
  readonly #start: () => Promise<T>
  #users = 0
  #spare: Promise<T> | undefined

  constructor(start: () => Promise<T>) {
    this.#start = start
  }

  /** Adds a user, and waits until a thread is ready. */
  async open(): Promise<void> {
    this.#users += 1
    try {
      await this.#prepare()
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Removes a user; the thread ends with the last one. */
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

  /** Makes another thread ready for the next user. */
  replenish(): void {
    // If it fails, so does the next user, which reports it.
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
    // A thread that did not start need not be ended; its user was told.
    return undefined
  }
}
