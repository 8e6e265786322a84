/** Cuts a mark off the end of a stream, whose pieces may end anywhere in it. */
export class UntilMark {
  readonly #mark: Buffer
  /** What may be the beginning of the mark. */
  #held: Buffer = Buffer.alloc(0)

  constructor(mark: string) {
    this.#mark = Buffer.from(mark)
  }

  /** The bytes that can't be a part of the mark, and whether the mark has come. */
  push(bytes: Buffer): { readonly bytes: Buffer; readonly isLast: boolean; readonly rest: Buffer } {
    const all = this.#held.byteLength === 0 ? bytes : Buffer.concat([this.#held, bytes])
    const at = all.indexOf(this.#mark)
    const end = at >= 0 ? at : all.byteLength - beginOf(this.#mark, all)
    this.#held = at >= 0 ? Buffer.alloc(0) : all.subarray(end)
    const rest = at >= 0 ? all.subarray(at + this.#mark.byteLength) : Buffer.alloc(0)
    return { bytes: all.subarray(0, end), isLast: at >= 0, rest }
  }

  /** What was held back, for a stream that ends without the mark. */
  end(): Buffer {
    return this.#held
  }
}

/** The length of the longest beginning of the mark that the bytes end with. */
function beginOf(mark: Buffer, bytes: Buffer): number {
  for (let length = Math.min(mark.byteLength - 1, bytes.byteLength); length > 0; length -= 1) {
    if (bytes.subarray(-length).equals(mark.subarray(0, length))) return length
  }
  return 0
}
