import { Deferred } from '../../driver/deferred.js'
import type { ProgramEnd, ProgramIo } from '../../driver/program-io.js'
import { JobCancelledError } from '../../errors.js'
import { programEndUnknown } from '../../errors/program-end.js'
import {
  reportedProgram,
  ReportedOutput,
  type ReportedEnd,
  type ReportedProgram,
} from '../../guest/reported-program.js'
import { signalScript, stopScript } from '../../guest/stop-scripts.js'
import { signalNames, signalOf, type SignalName } from '../../model/signal.js'
import { quoteWords } from '../../ssh/quote.js'
import { failureOf, type ParallelsFailure } from './parallels-failure.js'
import type { Prlctl } from './prlctl.js'
import type { Outcome } from './program-runner.js'
import { argumentOf } from './vm-id.js'

/** Longest time for a program in a guest; a caller sets a shorter one with `timeoutMs`. */
const programTimeoutMs = 7 * 24 * 3_600_000

/** Longest time for a script of the driver's own. */
const scriptTimeoutMs = 10_000

/** How long to wait for the end of an output once the program has ended: prlctl may lose it. */
const lateMs = 5000

/** Bytes that are kept of the end of each output: what prlctl says may be there. */
const maxWords = 4096

/** A guest as prlctl reaches it. */
export interface PrlctlGuest {
  readonly prlctl: Prlctl
  readonly vm: string
}

interface RunOptions {
  readonly signal?: AbortSignal | undefined
  /** True for a short script of the driver's own. */
  readonly isScript?: boolean | undefined
  /** True if it changes nothing: then it does not matter whether it has run. */
  readonly isHarmless?: boolean | undefined
  /** True once the program itself has begun, by its standard error. */
  readonly hasBegun?: (() => boolean) | undefined
}

/** A program in a guest, run by `prlctl exec`. */
export class GuestProgramRun {
  readonly #guest: PrlctlGuest
  readonly #io: ProgramIo
  readonly #program: ReportedProgram
  readonly #options: RunOptions
  readonly #outputs: { readonly stdout: ReportedOutput; readonly stderr: ReportedOutput }
  readonly #words = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  /** Aborted if the output can't be passed on. */
  readonly #failed = new AbortController()
  readonly #sent = new Set<SignalName>()
  readonly #begun = new Deferred<undefined>()
  readonly #ended = new Deferred<undefined>()
  #isTold = false
  #isGivenUp = false
  #hasDropped = false
  /** Ends the wait for a reader. */
  readonly #waiting: Partial<Record<'stdout' | 'stderr', (() => void) | undefined>> = {}
  #late: NodeJS.Timeout | undefined
  /** What has become of the attempt to stop it. */
  #stop: 'killed' | 'failed' | undefined
  #stopping: Promise<boolean> | undefined

  constructor(guest: PrlctlGuest, argv: readonly string[], io: ProgramIo, options: RunOptions = {}) {
    this.#guest = guest
    this.#io = io
    this.#options = options
    this.#program = reportedProgram(argv)
    this.#outputs = { stdout: new ReportedOutput(this.#program), stderr: new ReportedOutput(this.#program) }
  }

  /** True if the guest has told that it has begun. */
  get hasBegun(): boolean {
    return this.#outputs.stderr.begun !== undefined || this.#outputs.stdout.begun !== undefined
  }

  /** For the guest's shell. */
  get commandLine(): string {
    return quoteWords(this.#program.argv)
  }

  /**
   * Runs it.
   *
   * @param line a shorter one that leads to its command line
   * @throws a `ParallelsFailure` if it has not run, and the host says why
   */
  async result(line = this.commandLine): Promise<ProgramEnd> {
    const { prlctl, vm } = this.#guest
    const { signal, isScript = false } = this.#options
    const signals = [this.#failed.signal, ...(signal === undefined ? [] : [signal])]
    const input = this.#io.input?.[Symbol.asyncIterator]()
    const running = prlctl.run(['exec', argumentOf(vm), line], {
      ...(input !== undefined && { input: { [Symbol.asyncIterator]: () => input } }),
      signal: AbortSignal.any(signals),
      timeoutMs: isScript ? scriptTimeoutMs : programTimeoutMs,
      heedsInterrupts: true,
      ...(!isScript && { stop: () => (this.#stopping = this.#tryToStop()) }),
      take: (stream, piece) => this.#take(stream, piece),
    })
    try {
      // A child in the background may hold prlctl until it ends, too.
      const outcome = await Promise.race([running, this.#ended.promise])
      // The program's end may come before the script that ends it.
      await this.#stopping
      return this.#judge(outcome)
    } finally {
      clearTimeout(this.#late)
      // How the source takes it does not matter any more.
      input?.return?.().catch(() => undefined)
    }
  }

  async #take(stream: 'stdout' | 'stderr', piece: Buffer | undefined): Promise<void> {
    const output = this.#outputs[stream]
    for (const { bytes, isOwn } of piece === undefined ? [] : output.take(piece)) {
      this.#notice()
      if (output.end === undefined) this.#words[stream] = tailOf(this.#words[stream], bytes)
      if (isOwn) await this.#pass(stream, bytes)
    }
    if (piece === undefined) {
      const rest = output.rest()
      if (rest.length > 0 && output.begun !== undefined && output.end === undefined) await this.#pass(stream, rest)
      if (stream === 'stderr') this.#begun.resolve(undefined)
    }
    this.#notice()
  }

  async #pass(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    if (stream === 'stdout') await this.#begun.promise
    try {
      if (this.#isGivenUp) this.#hasDropped = true
      else await this.#untilTaken(stream, bytes)
    } catch (error) {
      this.#failed.abort(error)
    }
  }

  /** Waits for the reader, as long as the program is not to end. */
  async #untilTaken(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    const taken = this.#io.output(stream, bytes)
    if (taken === undefined) return
    await new Promise<void>((resolve, reject) => {
      this.#waiting[stream] = resolve
      taken.then(resolve, reject)
    })
    this.#waiting[stream] = undefined
  }

  /** The program is to end: its output is not of interest any more. */
  #giveUp(): void {
    this.#isGivenUp = true
    if (this.#waiting.stdout !== undefined || this.#waiting.stderr !== undefined) this.#hasDropped = true
    this.#waiting.stdout?.()
    this.#waiting.stderr?.()
  }

  /** Looks what the reports have told. */
  #notice(): void {
    const { stdout, stderr } = this.#outputs
    const { begun, end } = stderr
    if (begun !== undefined && !this.#isTold) {
      this.#isTold = true
      this.#io.begun({ kill: (signal) => this.#kill(signal) })
    }
    if (end !== undefined || (begun !== undefined && this.#options.hasBegun?.() !== false))
      this.#begun.resolve(undefined)
    if (stdout.end !== undefined && end !== undefined) this.#ended.resolve(undefined)
    else if (stdout.end !== undefined || end !== undefined) this.#expectEnd()
  }

  #expectEnd(): void {
    this.#late ??= setTimeout(() => {
      this.#late = undefined
      // Output that waits for its reader is not lost.
      if (this.#waiting.stdout ?? this.#waiting.stderr) this.#expectEnd()
      else this.#ended.resolve(undefined)
    }, lateMs)
  }

  /** Calls a script with the ids of the program, and answers its exit code. */
  async #ask(script: string, ...words: readonly string[]): Promise<number | undefined> {
    const begun = this.#outputs.stderr.begun ?? this.#outputs.stdout.begun
    if (begun === undefined) return undefined
    const { mark, id } = this.#program
    return await runScript(this.#guest, script, [mark, id, String(begun.pid), String(begun.parent), ...words])
  }

  async #kill(signal: SignalName): Promise<boolean> {
    this.#sent.add(signal)
    return (await this.#ask(signalScript, signal.slice('SIG'.length))) === 0
  }

  async #tryToStop(): Promise<boolean> {
    this.#giveUp()
    // After its end, a child in the background holds prlctl.
    if (!this.hasBegun || this.#outputs.stderr.end !== undefined) return false
    const code = await this.#ask(stopScript).catch(() => undefined)
    if (code === 0) this.#stop = 'killed'
    else if (code !== 3) this.#stop = 'failed'
    return code === 0 || code === 3
  }

  /** The end of the program. The outcome is absent if the program has ended before prlctl. */
  #judge(outcome: Outcome | undefined): ProgramEnd {
    const { stdout, stderr } = this.#outputs
    const end = stderr.end ?? stdout.end
    const cause = this.#failed.signal.aborted ? errorOf(this.#failed.signal.reason) : outcome?.inputError
    if (this.#stop === 'killed' && (end === undefined || end.signal === 'KILL')) throw cause ?? killed()
    if (end === undefined) throw this.#failure(outcome, cause)
    if (cause !== undefined) throw cause
    const isTruncated =
      this.#hasDropped || [stdout, stderr].some((output) => output.begun === undefined || output.end === undefined)
    return { ...this.#endOf(end), ...(isTruncated && { isTruncated }) }
  }

  #endOf({ code, signal }: ReportedEnd): ProgramEnd {
    const own = signalNames.find((name) => name === `SIG${signal}`)
    if (own !== undefined) return { signal: own }
    const sent = signalOf(code - 128)
    return sent !== undefined && this.#sent.has(sent) ? { signal: sent } : { exitCode: code }
  }

  /** The error for a program without an end. */
  #failure(outcome: Outcome | undefined, cause: Error | undefined): Error {
    const failure = outcome === undefined ? undefined : failureOf({ ...outcome, ...this.#words }, 'prlctl')
    // What prlctl stops before it has begun is stopped as a whole.
    if (failure?.kind === 'cancelled' && outcome?.wasInterrupted === true && this.#stop === undefined)
      return cause ?? failure
    const isInDoubt = this.hasBegun && this.#options.isHarmless !== true
    if (failure !== undefined && !isInDoubt && !isSpurious(failure)) return failure
    const reason = `prlctl does not say ${this.hasBegun ? 'how the program ended' : 'whether the program has run'}`
    return programEndUnknown(failure === undefined ? reason : `${reason}: ${failure.message}`, {
      cause: failure,
      native: failure?.native,
    })
  }
}

/** Runs a short script, and answers its exit code. */
export async function runScript(
  guest: PrlctlGuest,
  script: string,
  words: readonly string[],
  signal?: AbortSignal,
): Promise<number | undefined> {
  return (await scriptRun(guest, script, words, signal).result()).exitCode
}

export const scriptRun = (
  guest: PrlctlGuest,
  script: string,
  words: readonly string[],
  signal?: AbortSignal,
): GuestProgramRun => {
  const io: ProgramIo = { input: undefined, output: () => undefined, begun: () => undefined }
  return new GuestProgramRun(guest, ['sh', '-c', script, 'sh', ...words], io, { isScript: true, signal })
}

const errorOf = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

const tailOf = (kept: Buffer, bytes: Buffer): Buffer<ArrayBuffer> =>
  Buffer.concat([kept, bytes.subarray(-maxWords)]).subarray(-maxWords)

const killed = (): JobCancelledError =>
  new JobCancelledError({ reason: 'it was cancelled, and the program was killed with all that it had started' })

/** True for a failure that prlctl is known to have at times, whether or not the program has run. */
const isSpurious = ({ message }: ParallelsFailure): boolean => /PrlJob_Get(?:RetCode|Result)/.test(message)
