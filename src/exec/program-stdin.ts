import { Writable } from 'node:stream'
import type { BytePipe } from './byte-pipe.js'

/** The standard input of a program as a stream. Writing to a program that has ended is an error with the code `EPIPE`. */
export class ProgramStdin extends Writable {
  readonly #pipe: BytePipe

  constructor(pipe: BytePipe) {
    super({ decodeStrings: true })
    this.#pipe = pipe
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#pipe.write(chunk).then((isRead) => {
      done(isRead ? null : brokenPipe())
    })
  }

  /** @internal */
  override _final(done: (error?: Error | null) => void): void {
    this.#pipe.end()
    done()
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#pipe.end()
    done(error)
  }
}

const brokenPipe = (): Error => Object.assign(new Error('write EPIPE: the program has ended'), { code: 'EPIPE' })
