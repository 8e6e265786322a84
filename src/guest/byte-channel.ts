/** Hands bytes from one who passes them on to one who reads them. Who passes bytes on waits until they are read. */
export class ByteChannel implements AsyncIterable<Uint8Array> {
  readonly #held: { readonly bytes: Uint8Array; readonly taken: () => void }[] = []
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  /** Resolves once the bytes are taken, or nobody reads any more. */
  push(bytes: Uint8Array): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      this.#held.push({ bytes, taken: resolve })
      this.#wake?.()
    })
  }

  /** Ends the bytes, for who reads them with the error if there is one. */
  end(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end
    this.#wake?.()
  }

  /** Lets go of who passes bytes on, since nobody reads any more. */
  close(): void {
    this.end()
    for (const { taken } of this.#held.splice(0)) taken()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = this.#held.shift()
      if (next !== undefined) {
        next.taken()
        yield next.bytes
      } else if (this.#end === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      } else if ('error' in this.#end) {
        throw this.#end.error
      } else return
    }
  }
}
