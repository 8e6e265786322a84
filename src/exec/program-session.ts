import type { ProgramControl, ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { InsufficientResourcesError, JobFinishedError, ProgramFailedError, type VmError } from '../errors.js'
import { callSafely } from '../job/call-safely.js'
import { inCallerContext } from '../job/caller-context.js'
import type { ExecOptions, ExecResult, ProgramOutput } from '../model/exec.js'
import { BytePipe } from './byte-pipe.js'
import { bytesOf } from './bytes-of.js'
import { KeptOutput } from './kept-output.js'
import { OutputStream } from './output-stream.js'
import { ProgramStdin } from './program-stdin.js'
import type { Encoding } from './text-pieces.js'

/** What the result keeps of each output if the caller sets no limit. */
const maxOutputBytes = 16 * 2 ** 20
/** How many changes from one output to the other are remembered, for readers of both who come late. */
const maxTurns = 100_000

type Name = 'stdout' | 'stderr'
const names = ['stdout', 'stderr'] as const

/** Something that output goes to: a stream, or a listener. */
interface Reader {
  readonly put: (stream: Name, bytes: Uint8Array) => Promise<void> | undefined
  /** @param error why the output may not be all; absent if it is all */
  readonly end: (error: VmError | undefined) => void
}

/** What a session needs of the options of a program. */
export type SessionOptions = Pick<ExecOptions, 'input' | 'stdin' | 'maxOutputBytes' | 'check' | 'pty'> & {
  /** Called with each piece of output. */
  readonly onOutput?: ((output: never) => void | Promise<void>) | undefined
}

/** What passes between a program in a guest and its user: collected, limited, decoded, and passed to those who read it live. */
export class ProgramSession<Output extends string | Uint8Array> implements ProgramIo {
  readonly input: AsyncIterable<Uint8Array> | undefined
  readonly #pipe: BytePipe | undefined
  readonly #encoding: Encoding<Output>
  readonly #options: SessionOptions
  readonly #kept: Readonly<Record<Name, KeptOutput>>
  /** The outputs in turn, with how much was kept of each; `undefined` if there were too many turns. */
  #turns: { readonly stream: Name; bytes: number }[] | undefined = []
  readonly #readers = new Set<Reader>()
  readonly #streams: Partial<Record<Name, OutputStream<Uint8Array>>> = {}
  #stdin: ProgramStdin | undefined
  #control: ProgramControl | undefined
  #begunAt: number | undefined
  #whenBegun: Set<() => void> | undefined
  #over: { readonly error: VmError | undefined } | undefined

  constructor(options: SessionOptions, encoding: Encoding<Output>) {
    const { input, stdin, onOutput, maxOutputBytes: limit = maxOutputBytes } = options
    this.#options = options
    this.#encoding = encoding
    this.#kept = { stdout: new KeptOutput(limit), stderr: new KeptOutput(limit) }
    this.#pipe = stdin === undefined ? undefined : new BytePipe()
    this.input = input === undefined ? this.#pipe?.bytes : bytesOf(input, 'options.input')
    if (onOutput !== undefined) this.#listen(onOutput as (output: ProgramOutput<Output>) => void | Promise<void>)
  }

  /** Whether the program was told to run. */
  get hasBegun(): boolean {
    return this.#begunAt !== undefined
  }

  readonly begun = (control: ProgramControl): void => {
    this.#control = control
    this.#begunAt ??= performance.now()
    this.#callWaiting()
  }

  readonly output = (stream: Name, bytes: Uint8Array): Promise<void> | undefined => {
    if (bytes.byteLength === 0 || this.#over !== undefined) return undefined
    this.#keep(stream, bytes)
    const waits = [...this.#readers].map((reader) => reader.put(stream, bytes)).filter((wait) => wait !== undefined)
    return waits.length > 1 ? Promise.all(waits).then(() => undefined) : waits[0]
  }

  /** The result of the program. Throws if it has failed, and the caller wants that checked. */
  result({ exitCode, signal, isTruncated = false, durationMs = this.#ranForMs }: ProgramEnd): ExecResult<Output> {
    const { stdout, stderr } = this.#kept
    if (this.#options.check === true && exitCode !== 0) {
      const said = this.#options.pty === undefined ? stderr : stdout
      throw programFailed({ exitCode, signal }, new TextDecoder().decode(said.end))
    }
    return {
      exitCode,
      ...(signal !== undefined && { signal }),
      stdout: this.#encoding.whole(stdout.bytes),
      stderr: this.#encoding.whole(stderr.bytes),
      isTruncated: isTruncated || stdout.isTruncated || stderr.isTruncated,
      durationMs,
    }
  }

  get #ranForMs(): number {
    return this.#begunAt === undefined ? 0 : performance.now() - this.#begunAt
  }

  /** The job has ended. @param error why the output may not be all; absent if it is all */
  close(error: VmError | undefined): void {
    if (this.#over !== undefined) return
    this.#over = { error }
    for (const reader of this.#readers) reader.end(error)
    this.#readers.clear()
    this.#pipe?.leave()
    this.#callWaiting()
  }

  /**
   * The program, once it runs.
   * @throws JobFinishedError if it has ended, or never ran; the error of a job that can't tell
   */
  async control(signal: AbortSignal): Promise<ProgramControl> {
    while (this.#control === undefined && this.#over === undefined) await this.#change(signal)
    if (this.#over === undefined && this.#control !== undefined) return this.#control
    if (this.#over?.error?.code === 'OUTCOME_UNKNOWN') throw this.#over.error
    throw new JobFinishedError({ reason: this.hasBegun ? 'the program had ended' : 'the program was not run' })
  }

  /** What is written to one output, as bytes. */
  stream(name: Name): OutputStream<Uint8Array> {
    const known = this.#streams[name]
    if (known !== undefined) return known
    const stream = new OutputStream<Uint8Array>({ objectMode: false })
    this.#streams[name] = stream
    const kept = this.#kept[name]
    if (kept.isTruncated) stream.cutOff(tooLate(`job.${name}`))
    else {
      if (kept.bytes.byteLength > 0) void stream.put(Buffer.from(kept.bytes))
      this.#read({
        put: (from, bytes) => (from === name ? stream.put(bytes) : undefined),
        end(error) {
          // Without the error, which nobody may listen for: the job has it.
          if (error === undefined) stream.finish()
          else stream.cutOff(undefined)
        },
      })
    }
    return stream
  }

  /** What is written to both outputs, in order. */
  pieces(): OutputStream<ProgramOutput<Output>> {
    const stream = new OutputStream<ProgramOutput<Output>>({ objectMode: true })
    // The loop that reads it throws the error; an error before the loop must not be an uncaught one.
    stream.on('error', () => undefined)
    const pieces = this.#encoding.pieces()
    const before = this.#keptInTurn()
    if (before === undefined) {
      stream.cutOff(tooLate('job.output()'))
      return stream
    }
    const put = (from: Name, bytes: Uint8Array): Promise<void> | undefined => {
      const piece = pieces.next(from, bytes)
      return piece && stream.put(piece)
    }
    for (const { stream: from, bytes } of before) void put(from, bytes)
    this.#read({
      put,
      end(error) {
        for (const piece of pieces.rest()) void stream.put(piece)
        if (error === undefined) stream.finish()
        else stream.cutOff(error)
      },
    })
    return stream
  }

  /** The standard input of the program. It is at its end unless the program has a pipe. */
  get stdin(): ProgramStdin {
    if (this.#stdin !== undefined) return this.#stdin
    this.#stdin = new ProgramStdin(this.#pipe ?? new BytePipe())
    if (this.#pipe === undefined) this.#stdin.end()
    return this.#stdin
  }

  #listen(onOutput: (output: ProgramOutput<Output>) => void | Promise<void>): void {
    const pieces = this.#encoding.pieces()
    const listener = inCallerContext(onOutput)
    const tell = (piece: ProgramOutput<Output> | undefined): Promise<void> | undefined => {
      let held: unknown
      if (piece !== undefined) {
        callSafely(() => {
          held = listener(piece)
        })
      }
      if (!(held instanceof Promise)) return undefined
      return held.then(
        () => undefined,
        (error: unknown) => {
          callSafely(() => {
            throw error
          })
        },
      )
    }
    this.#read({
      put: (stream, bytes) => tell(pieces.next(stream, bytes)),
      end() {
        for (const piece of pieces.rest()) void tell(piece)
      },
    })
  }

  #read(reader: Reader): void {
    if (this.#over === undefined) this.#readers.add(reader)
    else reader.end(this.#over.error)
  }

  #keep(stream: Name, bytes: Uint8Array): void {
    const kept = this.#kept[stream].add(bytes)
    if (this.#turns === undefined || kept === 0) return
    const last = this.#turns.at(-1)
    if (last?.stream === stream) last.bytes += kept
    else if (this.#turns.length < maxTurns) this.#turns.push({ stream, bytes: kept })
    else this.#turns = undefined
  }

  /** All output so far, in order; `undefined` if it is not all there. */
  #keptInTurn(): { readonly stream: Name; readonly bytes: Uint8Array }[] | undefined {
    if (names.some((name) => this.#kept[name].isTruncated)) return undefined
    const at = { stdout: 0, stderr: 0 }
    return this.#turns?.map(({ stream, bytes }) => {
      const from = at[stream]
      at[stream] += bytes
      return { stream, bytes: Buffer.from(this.#kept[stream].bytes.subarray(from, at[stream])) }
    })
  }

  /** Waits until the program begins, or the job ends. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = (this.#whenBegun ??= new Set())
      const stop = (): void => {
        waiting.delete(go)
        reject(signal.reason as Error)
      }
      const go = (): void => {
        signal.removeEventListener('abort', stop)
        resolve()
      }
      if (signal.aborted) {
        stop()
        return
      }
      signal.addEventListener('abort', stop, { once: true })
      waiting.add(go)
    })
  }

  #callWaiting(): void {
    for (const go of this.#whenBegun ?? []) go()
    this.#whenBegun = undefined
  }
}

const tooLate = (what: string): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `${what} was asked for after the first part of the output was dropped`,
    hint: 'Ask for it right after the call, or raise maxOutputBytes.',
  })

function programFailed({ exitCode, signal }: ProgramEnd, stderr: string): ProgramFailedError {
  const how =
    exitCode === undefined ? `was ended by ${signal ?? 'a signal'}` : `ended with exit code ${String(exitCode)}`
  const lastLine = stderr.trimEnd().split('\n').at(-1)?.slice(-200) ?? ''
  return new ProgramFailedError({
    exitCode,
    signal,
    stderr,
    reason: `the program ${how}${lastLine === '' ? '' : `: ${lastLine}`}`,
  })
}
