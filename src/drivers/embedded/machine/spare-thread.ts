interface Thread {
  readonly exited: Promise<void>
  terminate(): Promise<void>
}

interface Spare<T> {
  readonly thread: Promise<T>
  /** Ends a thread that is not ready yet. */
  readonly starting: AbortController
}

/** Keeps one thread ready while there are users: starting it takes as long as loading a machine into it. */
export class SpareThread<T extends Thread> {
  readonly #start: (signal?: AbortSignal) => Promise<T>
  #users = 0
  #spare: Spare<T> | undefined

  constructor(start: (signal?: AbortSignal) => Promise<T>) {
    this.#start = start
  }

  /** Adds a user, and begins to make a thread ready. */
  open(): void {
    this.#users += 1
    this.replenish()
  }

  /** Waits until a thread is ready. */
  async ready(): Promise<void> {
    await this.#prepare()
  }

  /** Removes a user; the thread ends with the last one. */
  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    const spare = this.#spare
    this.#spare = undefined
    spare?.starting.abort()
    await (await settled(spare?.thread))?.terminate()
  }

  take(): Promise<T> {
    const thread = this.#spare?.thread ?? this.#start()
    this.#spare = undefined
    return thread
  }

  /** Makes another thread ready for the next user. */
  replenish(): void {
    // If it fails, so does the next user, which reports it.
    if (this.#users > 0) this.#prepare().catch(() => undefined)
  }

  async #prepare(): Promise<void> {
    this.#spare ??= this.#startSpare()
    await this.#spare.thread
  }

  #startSpare(): Spare<T> {
    const starting = new AbortController()
    const spare = { thread: this.#start(starting.signal), starting }
    const forget = (): void => {
      if (this.#spare === spare) this.#spare = undefined
    }
    spare.thread.then((thread) => thread.exited.then(forget), forget)
    return spare
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
