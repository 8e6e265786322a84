/** A line is longer than the protocol allows. */
export class LineTooLongError extends Error {
  constructor(maxBytes: number) {
    super(`a line of more than ${String(maxBytes)} bytes`)
    this.name = 'LineTooLongError'
  }
}

const newline = 0x0a

/** Cuts a stream of bytes into lines, and holds at most one line of the longest length. */
export class LineSplitter {
  readonly #maxBytes: number
  #parts: Uint8Array[] = []
  #length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /**
   * The lines that end in the chunk, without their ends.
   *
   * @throws {@link LineTooLongError}
   */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = []
    let from = 0
    for (let to = chunk.indexOf(newline); to >= 0; to = chunk.indexOf(newline, from)) {
      this.#keep(chunk.subarray(from, to))
      lines.push(this.#take())
      from = to + 1
    }
    this.#keep(chunk.subarray(from))
    return lines
  }

  /** Drops the beginning of a line that has not ended. */
  reset(): void {
    this.#parts = []
    this.#length = 0
  }

  #keep(part: Uint8Array): void {
    if (part.byteLength === 0) return
    this.#length += part.byteLength
    if (this.#length > this.#maxBytes) {
      this.reset()
      throw new LineTooLongError(this.#maxBytes)
    }
    this.#parts.push(part)
  }

  #take(): string {
    const line = Buffer.concat(this.#parts, this.#length).toString('utf8')
    this.reset()
    return line.endsWith('\r') ? line.slice(0, -1) : line
  }
}
