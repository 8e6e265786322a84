import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import type { Transport } from './transport.js'
import type { Ending, HostProgram } from '../../ssh/host-program.js'

/** How a program ended, and what it printed. */
export interface Outcome {
  readonly ending: Ending
  /** It was stopped since its time was over. */
  readonly isOverdue: boolean
  /** It was asked to stop, by the caller or with everything else. */
  readonly wasInterrupted: boolean
  readonly stdout: Buffer
  readonly stderr: Buffer
  /** The last of what was not kept of the standard error, where it is said how things ended. */
  readonly stderrEnd: Buffer
  /** Whether it printed more than was kept. */
  readonly isTruncated: boolean
}

export interface RunOptions {
  /** How long it may take; then it is interrupted, and killed where it does not end. */
  readonly timeoutMs: number
  readonly input?: Readable | Uint8Array | undefined
  /** Aborting it interrupts the program. */
  readonly signal?: AbortSignal | undefined
  /** Whether it is worth while to interrupt it: some commands ignore that. */
  readonly heedsInterrupts?: boolean | undefined
  /** How many bytes of each output are kept. */
  readonly limit?: number | undefined
  /** Hears of the standard output piece by piece. */
  readonly onOutput?: ((piece: Buffer) => void) | undefined
  /** Where the standard output goes, no faster than it is taken; then only its beginning is kept. */
  readonly output?: Writable | undefined
}

/** From being interrupted to being killed. */
const graceMs = 5000

/** How long a program may take once everything was stopped. */
const afterwardsMs = 5000

/** How many bytes are kept of an output that goes elsewhere, since prlctl may have said something there. */
const beginningLimit = 4096

/** How many bytes beyond the limit are kept of the end. */
const endLimit = 4096

const defaultLimit = 64 * 2 ** 20

/** Runs programs of the host, and leaves none behind. */
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

  /** Node throws where a program can't be started for some reasons, and tells of others as an event. */
  #start(argv: readonly string[], hasInput: boolean): HostProgram | Error {
    try {
      return this.#transport.start(argv, { hasInput })
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** Stops everything that runs, and waits until it has ended. What is begun later, to leave things in order, has little time. */
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

/** What comes out of a program, up to a limit. */
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

  /** The last of what came beyond the limit. */
  get end(): Buffer {
    return this.#end
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces)
  }
}

/** A program may end without having read its input; that is its own affair. */
function feed({ stdin }: HostProgram, input: Readable | Uint8Array | undefined): void {
  if (input === undefined) return
  stdin.on('error', () => {
    if (!(input instanceof Uint8Array)) input.destroy()
  })
  if (input instanceof Uint8Array) stdin.end(input)
  else {
    // A source that fails must not leave the program waiting for more.
    void once(input, 'close').then(
      () => stdin.end(),
      () => stdin.destroy(),
    )
    input.pipe(stdin)
  }
}
