import { Duplex } from 'node:stream'
import { consoleOverrun } from '../../../console/console-overrun.js'
import { isExhaustion } from '../../../errors/errno.js'
import { RunLogReader } from '../logs/run-log-reader.js'
import { runFiles } from '../run-files.js'
import type { RunningVm } from '../vm-access.js'
import type { VmObserver } from '../watch/vm-observer.js'
import type { ConsoleInput } from './console-input.js'

/** What a console needs from its VM. */
interface ConsoleSource {
  /** The log of the guest's output; the console closes it. */
  readonly log: RunLogReader
  /** Calls the listener when the log may have grown, until the returned function is called. */
  onPrinted(listener: () => void): () => void
  /** Resolves when the log grows no more. */
  readonly ended: Promise<void>
  send(bytes: Uint8Array): Promise<void>
}

/** Opens the console of a running VM, from the guest's first byte on, as far as it is kept. */
export async function openConsole(
  { definition: { id }, folder, run }: RunningVm,
  observer: Pick<VmObserver, 'onConsole' | 'ended'>,
  input: ConsoleInput,
): Promise<Duplex> {
  return new QemuConsole({
    log: await RunLogReader.open(folder, runFiles.console),
    onPrinted: (listener) => observer.onConsole(id, listener),
    ended: observer.ended(id, run.process),
    send: (bytes) => input.send(folder, bytes),
  })
}

/** One user of a VM's serial console. It reads the log that QEMU writes, and ends when QEMU has ended. */
class QemuConsole extends Duplex {
  readonly #source: ConsoleSource
  readonly #forget: () => void
  #isWanted = false
  #isReading = false
  #mustReadAgain = false
  #hasEnded = false

  constructor(source: ConsoleSource) {
    super({ allowHalfOpen: false })
    this.#source = source
    this.#forget = source.onPrinted(() => {
      this.#pump()
    })
    void source.ended.then(() => {
      this.#hasEnded = true
      this.#pump()
    })
  }

  override _read(): void {
    this.#isWanted = true
    this.#pump()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#source.send(chunk).then(
      () => {
        done()
      },
      (error: unknown) => {
        done(error as Error)
      },
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#forget()
    this.#source.log.close().then(
      () => {
        done(error)
      },
      (failure: unknown) => {
        done(error ?? (failure as Error))
      },
    )
  }

  #pump(): void {
    this.#mustReadAgain = true
    if (!this.#isWanted || this.#isReading || this.destroyed) return
    this.#isReading = true
    this.#readAll().then(
      () => {
        this.#isReading = false
      },
      (error: unknown) => {
        this.#isReading = false
        // A read that failed for lack of resources is repeated when the listener is called next.
        if (isExhaustion(error)) return
        // Errors of a read do not matter after the stream was destroyed.
        if (!this.destroyed) this.destroy(error as Error)
      },
    )
  }

  async #readAll(): Promise<void> {
    while (this.#mustReadAgain) {
      this.#mustReadAgain = false
      // If QEMU had ended before this read, the read is the last one.
      const isLast = this.#hasEnded
      for (;;) {
        const { bytes, lostBytes } = await this.#source.log.read()
        if (lostBytes > 0) throw consoleOverrun('qmp', lostBytes)
        if (bytes.byteLength === 0) break
        if (!this.push(bytes)) {
          this.#isWanted = false
          this.#mustReadAgain = true
          return
        }
      }
      if (isLast) {
        this.push(null)
        return
      }
    }
  }
}
