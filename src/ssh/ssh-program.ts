import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClientChannel } from 'ssh2'
import type { ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { signalNames } from '../model/signal.js'
import { LostConnectionError, type GuestConnection } from './guest-connection.js'
import { OutputPump } from './output-pump.js'

/** Most outputs end with their program. Only later is the server asked. */
const patienceMs = 10
/** With each round trip, OpenSSH reads at least 16 KiB of what waits, which is no more than 2 MiB: two full sockets and its window. */
const maxRoundTrips = 256
/** The key that ends the input of a terminal. */
const endOfInput = '\x04'

/** A program that runs in a channel. */
export class SshProgram {
  readonly #connection: GuestConnection
  readonly #channel: ClientChannel
  readonly #closed: Promise<unknown>
  readonly #exited: Promise<void>
  readonly #over = new AbortController()
  readonly #outputs: readonly [OutputPump, OutputPump]
  #end: ProgramEnd | undefined
  #fail: (error: unknown) => void = () => undefined
  readonly #failed = new Promise<never>((_, reject) => {
    this.#fail = reject
  })

  /** To be made before anything arrives on the channel. */
  constructor(connection: GuestConnection, channel: ClientChannel, io: ProgramIo) {
    this.#connection = connection
    this.#channel = channel
    this.#closed = Promise.all([once(channel, 'close'), once(channel.stderr, 'close')])
    this.#exited = new Promise((resolve) => {
      channel.once('exit', (code: number | null, signal?: string) => {
        this.#end = endOf(code, signal)
        resolve()
      })
    })
    // Both are looked at only by those that wait.
    this.#closed.catch(() => undefined)
    this.#failed.catch(() => undefined)
    const stdout = new OutputPump(channel, (bytes) => io.output('stdout', bytes))
    const stderr = new OutputPump(channel.stderr, (bytes) => io.output('stderr', bytes))
    stdout.start(stderr, this.#fail)
    stderr.start(stdout, this.#fail)
    this.#outputs = [stdout, stderr]
  }

  get hasEnded(): boolean {
    return this.#end !== undefined
  }

  /** Writes the input, as fast as the program reads it. An error of the input is that of the program. */
  feed(input: AsyncIterable<Uint8Array> | undefined, hasTerminal: boolean): void {
    this.#feed(input, hasTerminal).catch(this.#fail)
  }

  /**
   * How the program ended, once all of its output is passed on. What it has left in the background may hold the outputs open, and is
   * not waited for.
   *
   * @throws LostConnectionError, or the error of the input or of a sink
   */
  async ended(): Promise<ProgramEnd> {
    try {
      await Promise.race([this.#closed, this.#exited.then(() => this.#drained()), this.#failed])
      await Promise.race([Promise.all(this.#outputs.map((output) => output.settled())), this.#failed])
      if (this.#end === undefined) throw new LostConnectionError(this.#connection.reason, true)
      return this.#end
    } finally {
      this.close()
    }
  }

  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    this.#channel.setWindow(rows, columns, 0, 0)
  }

  /** Gives the channel up. */
  close(): void {
    this.#over.abort()
    this.#channel.removeAllListeners('data').stderr.removeAllListeners('data')
    this.#channel.resume().stderr.resume()
    this.#channel.close()
  }

  /**
   * Resolves once all that was written before the end has arrived. The server reads what there is to read between two answers of its,
   * and sends it before the second one: if nothing came in between, nothing is left.
   */
  async #drained(): Promise<void> {
    await delay(patienceMs, undefined, { signal: this.#over.signal }).catch(() => undefined)
    await this.#connection.roundTrip()
    for (let trip = 0; trip < maxRoundTrips && !this.#over.signal.aborted; trip += 1) {
      await Promise.all(this.#outputs.map((output) => output.settled()))
      const before = this.#bytes()
      await this.#connection.roundTrip()
      if (this.#bytes() === before) return
    }
  }

  #bytes(): number {
    return this.#outputs.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async #feed(input: AsyncIterable<Uint8Array> | undefined, hasTerminal: boolean): Promise<void> {
    const iterator = input?.[Symbol.asyncIterator]()
    const { signal } = this.#over
    const over = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => {
        resolve(undefined)
      })
    })
    // The source of the input is told at once that no more is wanted.
    void over.then(() => iterator?.return?.())
    for (;;) {
      const next = await Promise.race([iterator?.next(), over])
      if (signal.aborted) return
      if (next === undefined || next.done === true) break
      if (!this.#channel.write(next.value)) await Promise.race([once(this.#channel, 'drain'), over])
    }
    if (hasTerminal) this.#channel.write(endOfInput)
    else this.#channel.end()
  }
}

function endOf(code: number | null, signal: string | undefined): ProgramEnd {
  if (code !== null) return { exitCode: code }
  // OpenSSH does not name all signals.
  const known = signalNames.find((name) => name === signal)
  return known === undefined ? { exitCode: 128 } : { signal: known }
}
