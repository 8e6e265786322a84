import { Readable } from 'node:stream'

/**
 * Output of a program as a stream. What writes to it waits while its reader has enough; a stream that was destroyed holds nothing
 * back.
 */
export class OutputStream<T> extends Readable {
  #wanted: (() => void) | undefined
  #failure: { readonly error: Error | undefined } | undefined

  constructor(options: { readonly objectMode: boolean }) {
    super({ ...options, highWaterMark: options.objectMode ? 16 : 64 * 1024 })
  }

  /** Returns a promise if the reader has enough, which resolves once it wants more. */
  put(piece: T): Promise<void> | undefined {
    if (this.destroyed || this.#failure !== undefined || this.push(piece)) return undefined
    return new Promise((resolve) => {
      this.#wanted = resolve
    })
  }

  /** No more comes. */
  finish(): void {
    if (!this.destroyed) this.push(null)
    this.#release()
  }

  /** No more comes, and what came is not all: it is destroyed once it has been read, with the error if there is one. */
  cutOff(error: Error | undefined): void {
    this.#failure = { error }
    this.#release()
    if (this.readableLength === 0) this.destroy(error)
  }

  /** @internal */
  override _read(): void {
    this.#release()
  }

  /** @internal */
  override read(size?: number): unknown {
    const piece: unknown = super.read(size)
    const failure = this.#failure
    if (failure !== undefined && this.readableLength === 0) {
      // After the piece was read.
      process.nextTick(() => this.destroy(failure.error))
    }
    return piece
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()
    done(error)
  }

  #release(): void {
    this.#wanted?.()
    this.#wanted = undefined
  }
}
