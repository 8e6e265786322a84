import type { Readable } from 'node:stream'
import type { Transport } from './transport.js'
import type { Ending, HostProgram } from '../../ssh/host-program.js'

/** How a program ended, and what it printed. */
export interface Outcome {
  readonly ending: Ending
  /** True if it was stopped by its timeout. */
  readonly isOverdue: boolean
  /** True if it was asked to stop, by the caller or by a close. */
  readonly wasInterrupted: boolean
  /** The error that the input ended with; the program was stopped then. */
  readonly inputError?: Error | undefined
  readonly stdout: Buffer
  readonly stderr: Buffer
}

export interface RunOptions {
  /** Longest time, in milliseconds; then the program is interrupted, and killed if it does not end. */
  readonly timeoutMs: number
  readonly input?: Uint8Array | AsyncIterable<Uint8Array> | undefined
  /** Aborting it stops the program. */
  readonly signal?: AbortSignal | undefined
  /** True if an interrupt ends it; else it is killed at once. */
  readonly heedsInterrupts?: boolean | undefined
  /** Tried before it is interrupted. Resolves with true if the program is about to end by itself. */
  readonly stop?: (() => Promise<boolean>) | undefined
  /** Called with each piece of the standard output. */
  readonly onOutput?: ((piece: Buffer) => void) | undefined
  /** Takes both outputs, and `undefined` at the end of each; the next piece waits for the promise. The outcome has none of them then. */
  readonly take?: ((stream: 'stdout' | 'stderr', piece: Buffer | undefined) => Promise<void>) | undefined
}

/** Milliseconds from the interrupt to the kill. */
const graceMs = 5000

/** Longest time in milliseconds for a program that is started after `stopAll`. */
const afterwardsMs = 5000

/** Bytes of each output that are kept. */
const limit = 64 * 2 ** 20

/** Runs programs on the host, and leaves none behind. */
export class ProgramRunner {
  readonly #transport: Transport
  readonly #running = new Map<HostProgram, () => void>()
  #longestMs = Infinity

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async run(argv: readonly string[], options: RunOptions): Promise<Outcome> {
    const { timeoutMs, input, signal, onOutput, take } = options
    const program = this.#start(argv, input !== undefined)
    if (program instanceof Error) return notBegun(program)
    let isOverdue = false
    let wasInterrupted = false
    const stopping = new Stopping(program, options)
    const onAbort = (): void => {
      wasInterrupted = true
      stopping.begin()
    }
    const deadline = setTimeout(
      () => {
        isOverdue = true
        stopping.begin()
      },
      Math.min(timeoutMs, this.#longestMs),
    )
    this.#running.set(program, onAbort)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    try {
      const stdout = new Collected(onOutput)
      const stderr = new Collected()
      const reading =
        take === undefined
          ? [stdout.read(program.stdout), stderr.read(program.stderr)]
          : (['stdout', 'stderr'] as const).map((stream) =>
              passOn(program[stream], (piece) => take(stream, piece)).finally(() => take(stream, undefined)),
            )
      let inputError: Error | undefined
      if (input !== undefined) {
        feed(program, input).catch((error: unknown) => {
          inputError = error instanceof Error ? error : new Error(String(error))
          onAbort()
        })
      }
      // An output that breaks off ends with its program.
      const [ending] = await Promise.all([program.ended, Promise.allSettled(reading)])
      return { ending, isOverdue, wasInterrupted, inputError, stdout: stdout.bytes, stderr: stderr.bytes }
    } finally {
      clearTimeout(deadline)
      stopping.end()
      signal?.removeEventListener('abort', onAbort)
      this.#running.delete(program)
    }
  }

  /** Starts a program. For some failures Node throws, for others it emits an event. */
  #start(argv: readonly string[], hasInput: boolean): HostProgram | Error {
    try {
      return this.#transport.start(argv, { hasInput })
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** Stops all programs, and waits until they have ended. Programs that are started later, to clean up, have little time. */
  async stopAll(): Promise<void> {
    this.#longestMs = afterwardsMs
    const running = [...this.#running]
    for (const [, stop] of running) stop()
    await Promise.all(running.map(([program]) => program.ended))
  }
}

const notBegun = (error: Error): Outcome => ({
  ending: { kind: 'not-begun', error },
  isOverdue: false,
  wasInterrupted: false,
  stdout: Buffer.alloc(0),
  stderr: Buffer.alloc(0),
})

/** Stops a program: asks in its own way, then interrupts it, then kills it. */
class Stopping {
  readonly #program: HostProgram
  readonly #options: RunOptions
  #hasBegun = false
  #hasEnded = false
  #next: NodeJS.Timeout | undefined

  constructor(program: HostProgram, options: RunOptions) {
    this.#program = program
    this.#options = options
  }

  begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const { stop, heedsInterrupts = false } = this.#options
    if (!heedsInterrupts) this.#program.kill()
    else if (stop === undefined) this.#interrupt()
    else void this.#ask(stop)
  }

  /** The program has ended. */
  end(): void {
    this.#hasEnded = true
    clearTimeout(this.#next)
  }

  async #ask(stop: () => Promise<boolean>): Promise<void> {
    const isEnding = await stop()
    if (this.#hasEnded) return
    if (isEnding) this.#next = setTimeout(() => this.#interrupt(), graceMs)
    else this.#interrupt()
  }

  #interrupt(): void {
    this.#program.interrupt()
    this.#next = setTimeout(() => {
      this.#program.kill()
    }, graceMs)
  }
}

/** The output of a program, up to a limit. */
class Collected {
  readonly #pieces: Buffer[] = []
  readonly #onPiece: ((piece: Buffer) => void) | undefined
  #size = 0

  constructor(onPiece?: (piece: Buffer) => void) {
    this.#onPiece = onPiece
  }

  async read(stream: Readable): Promise<void> {
    await passOn(stream, (piece) => {
      this.#onPiece?.(piece)
      const kept = piece.subarray(0, limit - this.#size)
      this.#size += kept.length
      if (kept.length > 0) this.#pieces.push(kept)
    })
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces)
  }
}

/** Passes each piece on, and waits until it is taken. */
async function passOn(stream: Readable, take: (piece: Buffer) => Promise<void> | void): Promise<void> {
  const pieces: AsyncIterable<Buffer> = stream
  for await (const piece of pieces) await take(piece)
}

/** Writes the input, as fast as it is read. A program may end without reading it. */
async function feed({ stdin }: HostProgram, input: NonNullable<RunOptions['input']>): Promise<void> {
  // Each write reports its own failure, too.
  stdin.on('error', () => undefined)
  for await (const piece of input instanceof Uint8Array ? [input] : input) {
    const failure = await new Promise<Error | null | undefined>((resolve) => stdin.write(piece, resolve))
    if (failure !== null && failure !== undefined) return
  }
  stdin.end()
}
