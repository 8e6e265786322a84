/** Reads a stream of bytes in pieces of the length that its format has. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #held: Buffer = Buffer.alloc(0)
  #isAtEnd = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** So many bytes, or fewer if the stream ends before. */
  async read(length: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    let missing = length
    while (missing > 0) {
      const piece = await this.readSome(missing)
      if (piece.length === 0) break
      pieces.push(piece)
      missing -= piece.length
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces)
  }

  /** What comes next, at most so many bytes; empty at the end of the stream. */
  async readSome(maxLength: number): Promise<Buffer> {
    if (this.#held.length === 0) await this.#more()
    const piece = this.#held.subarray(0, maxLength)
    this.#held = this.#held.subarray(piece.length)
    return piece
  }

  /** The text before the next line feed; `undefined` if no line feed comes within so many bytes. */
  async readLine(maxLength: number): Promise<string | undefined> {
    let line: Buffer = Buffer.alloc(0)
    for (;;) {
      const piece = await this.readSome(maxLength + 1 - line.length)
      const end = piece.indexOf(0x0a)
      if (end >= 0) {
        this.#held = Buffer.concat([piece.subarray(end + 1), this.#held])
        return Buffer.concat([line, piece.subarray(0, end)]).toString()
      }
      line = Buffer.concat([line, piece])
      if (piece.length === 0 || line.length > maxLength) return undefined
    }
  }

  /** Reads the rest, and drops it. */
  async skip(length: number): Promise<number> {
    let left = length
    while (left > 0) {
      const { length: skipped } = await this.readSome(left)
      if (skipped === 0) break
      left -= skipped
    }
    return length - left
  }

  async #more(): Promise<void> {
    while (!this.#isAtEnd && this.#held.length === 0) {
      const next = await this.#source.next()
      if (next.done === true) this.#isAtEnd = true
      else this.#held = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
  }
}
