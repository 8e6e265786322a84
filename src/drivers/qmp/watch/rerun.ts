/** An action that runs once at a time, and once more if it was asked for while it ran. */
export class Rerun {
  readonly #action: () => Promise<{ readonly isOutdated: boolean }>
  #isWanted = false
  #running: Promise<void> | undefined

  /** @param action runs again at once if it answers that its result is outdated */
  constructor(action: () => Promise<{ readonly isOutdated: boolean }>) {
    this.#action = action
  }

  /** Runs the action now, or as soon as it has ended. */
  run(): Promise<void> {
    this.#isWanted = true
    this.#running ??= this.#runAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #runAll(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false
      const { isOutdated } = await this.#action()
      this.#isWanted ||= isOutdated
    }
  }
}
