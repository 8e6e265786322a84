import { Duplex } from 'node:stream'
import { HostError, VmError } from './errors.js'
import { CallerContext } from './job/caller-context.js'
import type { JobTarget } from './operations.js'

/**
 * The serial console of a VM, usable at once: what is written waits until the host has opened it, and a console that can't
 * be opened is destroyed with the typed error. Backpressure goes through in both directions.
 */
export class ConsoleStream extends Duplex {
  readonly #opening: Promise<Duplex>
  readonly #target: JobTarget

  /** @internal */
  constructor(opening: Promise<Duplex>, target: JobTarget) {
    super({ allowHalfOpen: false })
    this.#opening = opening
    this.#target = target
    opening.then(
      (host) => {
        this.#join(host)
      },
      (error: unknown) => this.#fail(error),
    )
  }

  /** @internal */
  override _read(): void {
    this.#withHost((host) => host.resume())
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#withHost((host) => {
      // An error destroys this stream, with its own words.
      host.write(chunk, (error) => (error == null ? done() : this.#fail(error)))
    })
  }

  /** @internal */
  override _final(done: (error?: Error | null) => void): void {
    this.#withHost((host) => {
      host.end(() => {
        done()
      })
    })
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#withHost((host) => host.destroy())
    done(error)
  }

  #join(host: Duplex): void {
    // Listeners of the caller run in the caller's async context, not in that of the host's stream.
    const context = new CallerContext()
    const on = (event: string, listener: (value: unknown) => void): void => {
      host.on(event, (value: unknown) => {
        context.runInAsyncScope(listener, undefined, value)
      })
    }
    on('data', (chunk) => {
      if (!this.push(chunk)) host.pause()
    })
    on('end', () => this.push(null))
    on('error', (error) => this.#fail(error))
    on('close', () => {
      if (!host.readableEnded) this.#fail(new Error('the console was closed by its host'))
    })
    if (this.destroyed) host.destroy()
  }

  #fail(error: unknown): void {
    if (!this.destroyed) this.destroy(this.#explain(error))
  }

  #explain(error: unknown): VmError {
    const message = error instanceof Error ? error.message : String(error)
    const native = { driver: 'console', message }
    const typed = error instanceof VmError ? error : new HostError({ reason: message, native, cause: error })
    VmError.locate(typed, 'vm.console', this.#target)
    return typed
  }

  /** Once the console is open; one that can't be opened has destroyed this stream already. */
  #withHost(action: (host: Duplex) => void): void {
    this.#opening.then(action, () => undefined)
  }
}
