/** A pseudo-random generator (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A generator of its own for each name: draws from one do not change what another gives. */
  static of(seed: number, purpose: string): Random {
    let hash = 0x811c9dc5 ^ seed
    for (let index = 0; index < purpose.length; index += 1) {
      hash = Math.imul(hash ^ purpose.charCodeAt(index), 0x01000193)
    }
    return new Random(hash)
  }

  /** 32 random bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return (bits ^ (bits >>> 14)) >>> 0
  }

  /** A number from 0 to less than 1. */
  fraction(): number {
    return this.bits() / 2 ** 32
  }

  /** A UUID of version 4. */
  uuid(): string {
    for (let index = 0; index < 32; index += 8) {
      let bits = this.bits()
      for (let digit = 0; digit < 8; digit += 1) {
        digits[index + digit] = bits & 15
        bits >>>= 4
      }
    }
    digits[12] = 4
    digits[16] = 8 | ((digits[16] ?? 0) & 3)
    for (const [index, place] of places.entries()) text[place] = hex.charCodeAt(digits[index] ?? 0)
    // Decoded from bytes: a string that is concatenated keeps its parts in memory.
    return text.toString('latin1')
  }
}

const hex = '0123456789abcdef'
const digits = new Uint8Array(32)
const text = Buffer.from('00000000-0000-0000-0000-000000000000')
/** The positions of the digits in the text. */
const places = [...text.entries()].flatMap(([place, byte]) => (byte === 0x30 ? [place] : []))
