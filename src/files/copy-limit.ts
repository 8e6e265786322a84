import { InvalidArgumentError } from '../errors.js'

/** Limit for files that report a size of 0, such as those in /proc. */
const maxUntoldBytes = 16 * 2 ** 20

/**
 * Limits a copy to the size that the file had at the beginning: a log may grow while it is copied, and a guest may send more than
 * it has announced, without end.
 */
export class CopyLimit {
  readonly #size: number
  #done = 0

  /** @param size in bytes, as reported before the first read */
  constructor(size: number) {
    this.#size = size
  }

  /** The number of bytes to read at most. If the size is unknown, one more than is allowed, so that an excess is noticed. */
  get left(): number {
    return (this.#size === 0 ? maxUntoldBytes + 1 : this.#size) - this.#done
  }

  /** Throws if more was read than is allowed. */
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
