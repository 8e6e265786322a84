import { Duplex } from 'node:stream'
import type { ConsoleBuffer, ConsoleReader } from './console-buffer.js'
import { consoleOverrun } from './console-overrun.js'

const chunkBytes = 64 * 1024

/** One reader and writer of a VM's serial port. It ends when the VM stops. */
export class VmConsole extends Duplex {
  readonly #driver: string
  readonly #buffer: ConsoleBuffer
  readonly #reader: ConsoleReader
  readonly #send: (bytes: Uint8Array) => Promise<void>
  #isWanted = false
  #isFinished = false

  /** @param driver the name that errors give for the host */
  constructor(driver: string, buffer: ConsoleBuffer, send: (bytes: Uint8Array) => Promise<void>) {
    super({ allowHalfOpen: false })
    this.#driver = driver
    this.#buffer = buffer
    this.#send = send
    this.#reader = buffer.reader()
    this.#reader.onReadable(() => {
      if (this.#isWanted) this.#pump()
    })
  }

  /** Ends the stream, though the VM may run on. */
  finish(): void {
    this.#reader.close()
    this.#isFinished = true
    this.push(null)
  }

  override _read(): void {
    this.#isWanted = true
    this.#pump()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(
      () => {
        done()
      },
      (error: unknown) => {
        done(error as Error)
      },
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#reader.close()
    done(error)
  }

  #pump(): void {
    if (this.#isFinished) return
    for (;;) {
      const { bytes, lostBytes } = this.#reader.read(chunkBytes)
      if (lostBytes > 0) {
        this.destroy(consoleOverrun(this.#driver, lostBytes))
        return
      }
      if (bytes.byteLength === 0) break
      if (!this.push(bytes)) {
        this.#isWanted = false
        return
      }
    }
    if (this.#buffer.closed) this.push(null)
  }
}
