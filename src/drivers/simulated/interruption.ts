/** Waits that can be broken off: an interruption ends the one under way, or the next. */
export class Interruption {
  #break: ((error: Error) => void) | undefined
  #error: Error | undefined

  interrupt(error: Error): void {
    if (this.#break === undefined) this.#error ??= error
    else this.#break(error)
  }

  throwIfInterrupted(): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** Waits for what `begin` resolves or rejects; an interruption calls what `begin` returned, and rejects. */
  async wait<R = void>(
    begin: (resolve: (value: R) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<R> {
    this.throwIfInterrupted()
    const value = await new Promise<R>((resolve, reject) => {
      const broken: { error?: Error } = {}
      let stop = (): void => undefined
      const end = (): void => {
        this.#break = undefined
      }
      this.#break = (error) => {
        end()
        broken.error = error
        stop()
        reject(error)
      }
      stop = begin(
        (result) => {
          end()
          resolve(result)
        },
        (error) => {
          end()
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      )
      // It may have been broken while it was begun.
      if (broken.error !== undefined) stop()
    })
    // What was to break it may have come between its end and now.
    this.throwIfInterrupted()
    return value
  }
}
