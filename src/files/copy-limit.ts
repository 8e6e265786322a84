import { InvalidArgumentError } from '../errors.js'

/** So much is read of a file whose size is told as 0, as that of those in /proc. */
const maxUntoldBytes = 16 * 2 ** 20

/**
 * How much of a file is copied: what it had at the beginning. A log may grow on while it is copied, and a guest may send more
 * than it has told, without end.
 */
export class CopyLimit {
  readonly #size: number
  #done = 0

  /** @param size in bytes, as it was told before anything was read */
  constructor(size: number) {
    this.#size = size
  }

  /** How many bytes may still come; one more than is taken where the size is not told, so that it shows. */
  get left(): number {
    return (this.#size === 0 ? maxUntoldBytes + 1 : this.#size) - this.#done
  }

  /** Throws where more has come than may. */
  add(bytes: number): void {
    this.#done += bytes
    if (this.#size === 0 && this.#done > maxUntoldBytes) throw tooMuch(`16 MiB, though its size is told as 0`)
    if (this.left < 0) throw tooMuch(`the ${String(this.#size)} bytes that it was told to have`)
  }

  get done(): number {
    return this.#done
  }

  get total(): number {
    return Math.max(this.#size, this.#done)
  }
}

const tooMuch = (than: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'from',
    reason: `from has more than ${than}, or no end`,
    hint: 'Let a program write what is to be copied to a regular file first.',
  })
