import { endable } from './endable.js'

/**
 * Passes bytes from one writer to one reader, one piece at a time: a write is done once the reader wants more, which is the back
 * pressure.
 */
export class BytePipe {
  /** What the reader reads. */
  readonly bytes: AsyncIterable<Uint8Array> = endable(this.#read(), () => {
    this.leave()
  })
  #piece: { readonly bytes: Uint8Array; readonly done: (isRead: boolean) => void } | undefined
  #end: { readonly error?: unknown } | undefined
  #isLeft = false
  #wake: (() => void) | undefined

  /** True once the reader wants more; false if it wants nothing any more. The writer must wait for the answer. */
  write(bytes: Uint8Array): Promise<boolean> {
    if (this.#isLeft || this.#end !== undefined) return Promise.resolve(false)
    return new Promise((done) => {
      this.#piece = { bytes, done }
      this.#wake?.()
    })
  }

  /** Ends it for the reader, unless {@link leave} was called. */
  end(): void {
    if (!this.#isLeft) this.#end ??= {}
    this.#wake?.()
  }

  /** Ends it for the reader with an error. */
  fail(error: unknown): void {
    this.#end ??= { error }
    this.#wake?.()
  }

  /**
   * Ends it for the writer: nobody wants to have it read any more. A reader that goes on waits for ever, until it leaves: it must not
   * take this for the end of the content.
   */
  leave(): void {
    this.#isLeft = true
    this.#take()?.done(false)
  }

  async *#read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.#piece !== undefined) {
        yield this.#piece.bytes
        this.#take()?.done(true)
      } else if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  #take(): { readonly done: (isRead: boolean) => void } | undefined {
    const piece = this.#piece
    this.#piece = undefined
    return piece
  }
}
