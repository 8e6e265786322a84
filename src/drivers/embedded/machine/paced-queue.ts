/** More input was sent than is kept for a guest that does not read it. */
export class InputFullError extends Error {
  override readonly name = 'InputFullError'
  readonly limit: number

  constructor(limit: number) {
    super(`The guest does not read its input, and ${String(limit)} bytes of it are waiting already`)
    this.limit = limit
  }
}

interface Chunk {
  readonly values: ArrayLike<number>
  position: number
  readonly done: () => void
}

/** Input for a device that takes a limited amount at a time. */
export class PacedQueue {
  readonly #limit: number
  #chunks: Chunk[] = []
  #waiting = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Settles when the device has taken the values, or when they were dropped with the machine's reset. */
  async push(values: ArrayLike<number>): Promise<void> {
    // A single chunk may exceed the limit: it is in memory already.
    if (this.#waiting > 0 && this.#waiting + values.length > this.#limit) throw new InputFullError(this.#limit)
    if (values.length === 0) return
    this.#waiting += values.length
    await new Promise<void>((done) => this.#chunks.push({ values, position: 0, done }))
  }

  /** Passes on as much as the device has room for. `true` if that was anything. */
  feed(room: number, take: (value: number) => void): boolean {
    let hasFed = false
    while (room > 0) {
      const chunk = this.#chunks[0]
      if (chunk === undefined) return hasFed
      hasFed = true
      take(chunk.values[chunk.position++] ?? 0)
      this.#waiting--
      room--
      if (chunk.position === chunk.values.length) {
        this.#chunks.shift()
        chunk.done()
      }
    }
    return hasFed
  }

  clear(): void {
    const chunks = this.#chunks
    this.#chunks = []
    this.#waiting = 0
    for (const chunk of chunks) chunk.done()
  }
}
