import { Writable } from 'node:stream'
import { JobCancelledError } from '../errors.js'
import type { Job } from '../job/job.js'
import { BytePipe } from './byte-pipe.js'

/** A file of a guest as a stream that is written to. It has finished once the job that writes the file has succeeded. */
export class FileWriteStream extends Writable {
  readonly #pipe = new BytePipe()
  readonly #job: Job<void>

  /** @param begin starts to write what the iterable gives */
  constructor(begin: (bytes: AsyncIterable<Uint8Array>) => Job<void>) {
    super({ decodeStrings: true })
    this.#job = begin(this.#pipe.bytes)
    void this.#job.then((result) => {
      this.#pipe.leave()
      if (result.isErr() && !this.destroyed) this.destroy(result.error)
    })
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // If nobody reads any more, the job has failed, and destroys this stream with its error.
    void this.#pipe.write(chunk).then((isRead) => {
      if (isRead) done()
    })
  }

  /** @internal */
  override _final(done: (error?: Error | null) => void): void {
    this.#pipe.end()
    void this.#job.then((result) => {
      if (result.isOk()) done()
    })
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.writableFinished) {
      done(error)
      return
    }
    this.#pipe.fail(new JobCancelledError({ reason: 'its stream was destroyed' }))
    void this.#job.cancel('its stream was destroyed').then(() => {
      done(error)
    })
  }
}
