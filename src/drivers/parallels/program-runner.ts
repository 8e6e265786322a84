import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import type { Transport } from './transport.js'
import type { Ending, HostProgram } from '../../ssh/host-program.js'

/** How a program ended, and what it printed. */
export interface Outcome {
  readonly ending: Ending
  /** True if it was stopped by its timeout. */
  readonly isOverdue: boolean
  /** True if it was asked to stop, by the caller or by a close. */
  readonly wasInterrupted: boolean
  readonly stdout: Buffer
  readonly stderr: Buffer
  /** The end of a standard error that is longer than the limit: reports of the outcome are there. */
  readonly stderrEnd: Buffer
  /** True if it printed more than was kept. */
  readonly isTruncated: boolean
}

export interface RunOptions {
  /** Longest time, in milliseconds; then the program is interrupted, and killed if it does not end. */
  readonly timeoutMs: number
  readonly input?: Readable | Uint8Array | undefined
  /** Aborting it interrupts the program. */
  readonly signal?: AbortSignal | undefined
  /** True if an interrupt ends it; else it is killed at once. */
  readonly heedsInterrupts?: boolean | undefined
  /** Bytes of each output that are kept. */
  readonly limit?: number | undefined
  /** Called with each piece of the standard output. */
  readonly onOutput?: ((piece: Buffer) => void) | undefined
  /** Receives the standard output, with back pressure; then only its beginning is kept. */
  readonly output?: Writable | undefined
}

/** Milliseconds from the interrupt to the kill. */
const graceMs = 5000

/** Longest time in milliseconds for a program that is started after `stopAll`. */
const afterwardsMs = 5000

/** Bytes that are kept of an output that goes to a stream: an error of prlctl may be among them. */
const beginningLimit = 4096

/** Bytes beyond the limit that are kept of the end. */
const endLimit = 4096

const defaultLimit = 64 * 2 ** 20

/** Runs programs on the host, and leaves none behind. */
export class ProgramRunner {
  readonly #transport: Transport
  readonly #running = new Map<HostProgram, () => void>()
  #longestMs = Infinity

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async run(argv: readonly string[], options: RunOptions): Promise<Outcome> {
    const { timeoutMs, input, signal, heedsInterrupts = false, limit = defaultLimit, onOutput, output } = options
    const program = this.#start(argv, input !== undefined)
    if (program instanceof Error) return notBegun(program)
    let isOverdue = false
    let wasInterrupted = false
    let killer: NodeJS.Timeout | undefined
    const stop = (): void => {
      if (!heedsInterrupts) {
        program.kill()
        return
      }
      program.interrupt()
      killer ??= setTimeout(() => {
        program.kill()
      }, graceMs)
    }
    const onAbort = (): void => {
      wasInterrupted = true
      stop()
    }
    const deadline = setTimeout(
      () => {
        isOverdue = true
        stop()
      },
      Math.min(timeoutMs, this.#longestMs),
    )
    this.#running.set(program, onAbort)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort()
    try {
      const stdout = new Collected(program.stdout, output === undefined ? limit : beginningLimit, onOutput)
      const stderr = new Collected(program.stderr, limit)
      if (output !== undefined) program.stdout.pipe(output, { end: false })
      feed(program, input)
      const ending = await program.ended
      return {
        ending,
        isOverdue,
        wasInterrupted,
        stdout: stdout.bytes,
        stderr: stderr.bytes,
        stderrEnd: stderr.end,
        isTruncated: (output === undefined && stdout.isTruncated) || stderr.isTruncated,
      }
    } finally {
      clearTimeout(deadline)
      clearTimeout(killer)
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
  stderrEnd: Buffer.alloc(0),
  isTruncated: false,
})

/** The output of a program, up to a limit. */
class Collected {
  readonly #pieces: Buffer[] = []
  #size = 0
  #end = Buffer.alloc(0)
  isTruncated = false

  constructor(stream: Readable, limit: number, onPiece?: (piece: Buffer) => void) {
    stream.on('data', (piece: Buffer) => {
      onPiece?.(piece)
      const kept = piece.subarray(0, limit - this.#size)
      if (kept.length < piece.length) {
        this.isTruncated = true
        this.#end = Buffer.concat([this.#end, piece.subarray(kept.length)]).subarray(-endLimit)
      }
      this.#size += kept.length
      if (kept.length > 0) this.#pieces.push(kept)
    })
  }

  /** The end of the output beyond the limit. */
  get end(): Buffer {
    return this.#end
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces)
  }
}

/** Writes the input. A program may end without reading it. */
function feed({ stdin }: HostProgram, input: Readable | Uint8Array | undefined): void {
  if (input === undefined) return
  stdin.on('error', () => {
    if (!(input instanceof Uint8Array)) input.destroy()
  })
  if (input instanceof Uint8Array) stdin.end(input)
  else {
    // Without this, a source that fails would leave the program waiting.
    void once(input, 'close').then(
      () => stdin.end(),
      () => stdin.destroy(),
    )
    input.pipe(stdin)
  }
}
