/** The checksum of POSIX `cksum`, computed piece by piece. Every guest has that program. */
export class Cksum {
  #crc = 0
  #size = 0

  /** Number of bytes so far. */
  get size(): number {
    return this.#size
  }

  update(piece: Uint8Array): void {
    this.#size += piece.length
    for (const byte of piece) this.#add(byte)
  }

  /** As `cksum` prints it: the checksum and the number of bytes. */
  digest(): string {
    const size = this.#size
    const crcOfContent = this.#crc
    for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) this.#add(rest % 256)
    const sum = ~this.#crc >>> 0
    this.#crc = crcOfContent
    return `${String(sum)} ${String(size)}`
  }

  #add(byte: number): void {
    this.#crc = ((this.#crc << 8) ^ (table[((this.#crc >>> 24) ^ byte) & 0xff] ?? 0)) | 0
  }
}

const table = Int32Array.from({ length: 256 }, (_, index) => {
  let crc = index << 24
  for (let bit = 0; bit < 8; bit += 1) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  return crc
})
