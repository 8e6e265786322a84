const firstRoom = 256

/** Collects bytes that come one by one. */
export class ByteCollector {
  #bytes = new Uint8Array(firstRoom)
  #count = 0

  push(byte: number): void {
    if (this.#count === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#count)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes[this.#count++] = byte
  }

  /** The bytes since it was called last, in an array of their own. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#count === 0) return undefined
    const taken = this.#bytes.slice(0, this.#count)
    this.#count = 0
    return taken
  }
}
