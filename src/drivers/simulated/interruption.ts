/** Waits that can be interrupted: an interruption ends the wait under way, or else the next one. */
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

  /** Waits until `begin` resolves or rejects. An interruption calls the function that `begin` returned, and rejects. */
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
      // `begin` itself may have caused the interruption.
      if (broken.error !== undefined) stop()
    })
    // An interruption may have come after the wait was resolved.
    this.throwIfInterrupted()
    return value
  }
}
