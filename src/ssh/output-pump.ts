import type { Readable } from 'node:stream'
import type { Sink } from '../driver/program-io.js'

/** What may wait in a stream before the other stream of its channel waits, too: both have one window, which either refills. */
const maxWaiting = 2 ** 20

/** Passes the bytes of a stream on, no faster than they are taken. */
export class OutputPump {
  readonly #stream: Readable
  readonly #sink: Sink
  #bytes = 0
  #taking: Promise<void> | undefined

  constructor(stream: Readable, sink: Sink) {
    this.#stream = stream
    this.#sink = sink
  }

  /**
   * Begins to pass on.
   *
   * @param other of the same channel
   * @param fail called if the sink fails: nothing more is passed on then
   */
  start(other: OutputPump, fail: (error: unknown) => void): void {
    this.#stream.on('data', (piece: Buffer) => {
      this.#bytes += piece.length
      const taking = this.#sink(piece)
      if (taking === undefined && !other.isFull) return
      this.#stream.pause()
      this.#taking = Promise.all([taking, other.isFull ? other.settled() : undefined]).then(() => {
        this.#taking = undefined
        this.#stream.resume()
      }, fail)
    })
  }

  /** How much has been passed on. */
  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#stream.readableLength > maxWaiting
  }

  /** Resolves once all that has arrived is taken. */
  async settled(): Promise<void> {
    while (this.#taking !== undefined || this.#stream.readableLength > 0) {
      await (this.#taking ?? new Promise(setImmediate))
    }
  }
}
