/** What a simulated program reads: one piece at a time, which is the back pressure. */
export class SimulatedStdin implements AsyncIterable<Uint8Array> {
  #piece: { readonly bytes: Uint8Array; readonly taken: (isTaken: boolean) => void } | undefined
  #hasEnded = false
  #wake: (() => void) | undefined

  /** False if nobody reads any more. The next piece must wait for the answer. */
  put(bytes: Uint8Array): Promise<boolean> {
    if (this.#hasEnded) return Promise.resolve(false)
    return new Promise((taken) => {
      this.#piece = { bytes, taken }
      this.#wake?.()
    })
  }

  /** No more comes; or nobody reads any more. */
  end(): void {
    this.#hasEnded = true
    this.#piece?.taken(false)
    this.#piece = undefined
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const piece = this.#piece
      if (piece !== undefined) {
        this.#piece = undefined
        piece.taken(true)
        yield piece.bytes
      } else if (this.#hasEnded) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}
