/** How much of the end is kept of an output that is longer than what is kept of its beginning. */
const endBytes = 4096

/** The first bytes of one output of a program, up to a limit, and its end. */
export class KeptOutput {
  readonly #limit: number
  #buffer: Buffer = Buffer.alloc(0)
  #length = 0
  #end: Buffer = Buffer.alloc(0)
  #isTruncated = false

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Returns how many of the bytes it keeps. */
  add(bytes: Uint8Array): number {
    const kept = Math.min(bytes.byteLength, this.#limit - this.#length)
    if (kept > 0) this.#append(bytes.subarray(0, kept))
    if (kept < bytes.byteLength || this.#isTruncated) {
      if (!this.#isTruncated) this.#end = Buffer.from(this.bytes.subarray(-endBytes))
      this.#isTruncated = true
      this.#end = lastOf(this.#end, bytes.subarray(kept))
    }
    return kept
  }

  /** Whether it has the beginning only. */
  get isTruncated(): boolean {
    return this.#isTruncated
  }

  /** What is kept. It is never changed. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** The last bytes, at most 4 KiB. */
  get end(): Buffer {
    return this.#isTruncated ? this.#end : this.bytes.subarray(-endBytes)
  }

  #append(bytes: Uint8Array): void {
    const length = this.#length + bytes.byteLength
    if (length > this.#buffer.byteLength) {
      const larger = Buffer.alloc(Math.min(this.#limit, Math.max(length, this.#buffer.byteLength * 2)))
      larger.set(this.bytes)
      this.#buffer = larger
    }
    this.#buffer.set(bytes, this.#length)
    this.#length = length
  }
}

const lastOf = (before: Buffer, bytes: Uint8Array): Buffer =>
  Buffer.concat([before, bytes.subarray(-endBytes)]).subarray(-endBytes)
