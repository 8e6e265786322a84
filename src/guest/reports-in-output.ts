/** Longest report, in bytes, with its mark. */
const maxReport = 128

const newline = 0x0a

/**
 * Takes reports out of a live output: a random mark, a space and a few words up to the end of the line, which a script writes beside
 * the program's own bytes. It holds back only what may be the beginning of a report.
 */
export class ReportsInOutput {
  readonly #mark: Buffer
  readonly #isReport: RegExp
  #pending: Buffer = Buffer.alloc(0)

  /** @param isReport what the words after a mark look like; otherwise the mark is part of the output, as in that of `ps` */
  constructor(mark: string, isReport: RegExp) {
    this.#mark = Buffer.from(`${mark} `)
    this.#isReport = isReport
  }

  /** What the next piece brings, in order: bytes of the output, and the words of reports. */
  *take(piece: Uint8Array): Generator<Buffer | string, void, undefined> {
    let rest = Buffer.concat([this.#pending, piece])
    let from = 0
    for (;;) {
      const at = rest.indexOf(this.#mark, from)
      if (at < 0) break
      const begin = at + this.#mark.length
      const length = rest.subarray(begin, at + maxReport).indexOf(newline)
      if (length < 0 && rest.length < at + maxReport) return yield* this.#hold(rest, at)
      const words = rest.toString('latin1', begin, begin + Math.max(0, length))
      if (this.#isReport.test(words)) {
        if (at > 0) yield rest.subarray(0, at)
        yield words
        rest = rest.subarray(begin + length + 1)
        from = 0
      } else from = begin
    }
    yield* this.#hold(rest, this.#possibleMark(rest))
  }

  /** What was held back, once the output has ended. */
  rest(): Buffer {
    const rest = this.#pending
    this.#pending = Buffer.alloc(0)
    return rest
  }

  *#hold(output: Buffer, from: number): Generator<Buffer, void, undefined> {
    // A copy, since the piece belongs to the caller.
    this.#pending = Buffer.from(output.subarray(from))
    if (from > 0) yield output.subarray(0, from)
  }

  /** The index of a tail that is the beginning of the mark. */
  #possibleMark(output: Buffer): number {
    let at = Math.max(0, output.length - this.#mark.length + 1)
    while (at < output.length && !this.#mark.subarray(0, output.length - at).equals(output.subarray(at))) at += 1
    return at
  }
}
