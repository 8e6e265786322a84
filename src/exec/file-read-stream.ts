import type { Sink } from '../driver/program-io.js'
import type { Job } from '../job/job.js'
import { OutputStream } from './output-stream.js'

/** A file of a guest as a stream: a job that reads it, which is cancelled if the stream is destroyed. */
export class FileReadStream extends OutputStream<Uint8Array> {
  readonly #job: Job<void>

  /** @param begin starts to read, with what takes the content */
  constructor(begin: (output: Sink) => Job<void>) {
    super({ objectMode: false })
    this.#job = begin((bytes) => (bytes.byteLength === 0 ? undefined : this.put(bytes)))
    void this.#job.then((result) => {
      if (result.isOk()) this.finish()
      else this.cutOff(result.error)
    })
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    super._destroy(error, () => undefined)
    void this.#job.cancel('its stream was destroyed').then(() => {
      done(error)
    })
  }
}
