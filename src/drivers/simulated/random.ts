/** Numbers that look random and follow from a seed (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A source of its own: how much one is used does not change what another gives. */
  static of(seed: number, purpose: string): Random {
    let hash = 0x811c9dc5 ^ seed
    for (let index = 0; index < purpose.length; index += 1) {
      hash = Math.imul(hash ^ purpose.charCodeAt(index), 0x01000193)
    }
    return new Random(hash)
  }

  /** 32 bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return (bits ^ (bits >>> 14)) >>> 0
  }

  /** From 0 up to, and without, 1. */
  fraction(): number {
    return this.bits() / 2 ** 32
  }

  /** In the form of a UUID of version 4. */
  uuid(): string {
    const digits = [this.bits(), this.bits(), this.bits(), this.bits()].map(hex).join('')
    const variant = (8 + (Number.parseInt(digits.charAt(16), 16) & 3)).toString(16)
    return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-${variant}${digits.slice(17, 20)}-${digits.slice(20)}`
  }
}

const hex = (bits: number): string => bits.toString(16).padStart(8, '0')
