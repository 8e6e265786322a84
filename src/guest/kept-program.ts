import { Deferred } from '../driver/deferred.js'
import type { ProgramEnd, ProgramIo } from '../driver/program-io.js'
import { programEndUnknown } from '../errors/program-end.js'
import { HostError, InsufficientResourcesError, JobCancelledError } from '../errors.js'
import { signalNames, type SignalName } from '../model/signal.js'
import type { GuestProgram, GuestWay } from './guest-way.js'
import {
  endInputScript,
  feedScript,
  followScript,
  followed,
  removeScript,
  signalKeptScript,
  startKeptScript,
  stopKeptScript,
} from './kept-scripts.js'
import { ReportedOutput, type BegunProgram } from './reported-program.js'
import { tryScript, type Script } from './run-script.js'
import { SentInput } from './sent-input.js'
import { shell, wrappedProgram, type WrappedProgram } from './wrapped-program.js'

/** What finds a kept program in its guest. */
export interface KeptProgram {
  /** Random: names its folder there, and its reports. */
  readonly id: string
  readonly hasInput: boolean
  /** For errors: the name of the program, its folder and its user. */
  readonly name: string
  readonly cwd: string
  readonly user: string
}

/** What became of a program: how it has ended, or why it was not run; a `JobCancelledError` if it was stopped by request. */
export type KeptOutcome = { readonly end: ProgramEnd } | { readonly error: unknown }

/** The guest of a kept program. */
export interface KeptGuest {
  readonly driver: string
  /** Calls the action with a way into the guest. It rejects if the guest can't be reached at present. */
  use<T>(action: (way: GuestWay) => Promise<T>): Promise<T>
}

const folderOf = ({ id }: KeptProgram): string => `awaitvm-kept-${id}`
const markOf = ({ id }: KeptProgram): string => `awaitvm-${id}`
/** What it has in its environment. */
const environmentOf = ({ id }: KeptProgram): string => `kept-${id}`
const startMarkOf = ({ id }: KeptProgram): string => `awaitvm-start-${id}`

/** A script's exit codes. */
const noRoom = 4
const hasEnded = 3

const unending = new AbortController().signal

const run = (
  way: GuestWay,
  script: Script,
): Promise<{ readonly exitCode?: number | undefined; readonly stderr: string }> =>
  tryScript({ way, operation: 'guest.exec', signal: unending }, script)

/** Starts a program in the guest, with a keeper that belongs to no connection. */
export async function startKept(way: GuestWay, kept: KeptProgram, program: GuestProgram): Promise<void> {
  const { argv } = wrappedProgram(program, nobody, way.driver, startMarkOf(kept))
  const args = [folderOf(kept), markOf(kept), environmentOf(kept), kept.hasInput ? '1' : '', ...argv]
  const { exitCode, stderr } = await run(way, { text: startKeptScript, args })
  if (exitCode === 0) return
  if (exitCode === noRoom) {
    throw new InsufficientResourcesError({ reason: 'the guest has no room for a folder in /run or /tmp' })
  }
  throw new HostError({
    reason: `the shell of the guest could not start the program: ${stderr}`,
    native: { driver: way.driver, code: exitCode ?? 0, message: stderr },
  })
}

const nobody: ProgramIo = { input: undefined, output: () => undefined, begun: () => undefined }

/** Removes what a kept program has left in its guest. */
export const removeKept = async (way: GuestWay, kept: KeptProgram): Promise<void> => {
  await run(way, { text: removeScript, args: [folderOf(kept)], isHarmless: true })
}

/** Follows a kept program from its first output on, also over several connections. */
export class KeptFollower {
  readonly #guest: KeptGuest
  readonly #kept: KeptProgram
  readonly #wrapped: WrappedProgram
  readonly #outputs: { readonly stdout: ReportedOutput; readonly stderr: ReportedOutput }
  readonly #taken = { stdout: 0, stderr: 0 }
  #sent: SentInput | undefined
  /** Standard output that came before standard error has told that the program has begun. */
  readonly #early: Uint8Array[] = []
  readonly #begun = new Deferred<true>()

  constructor(guest: KeptGuest, kept: KeptProgram, io: ProgramIo) {
    const { name, cwd, user } = kept
    const program = { argv: [name], cwd, ...(user !== '' && { user }) }
    const mark = markOf(kept)
    this.#guest = guest
    this.#kept = kept
    this.#wrapped = wrappedProgram(program, io, guest.driver, startMarkOf(kept))
    this.#outputs = { stdout: new ReportedOutput({ mark }), stderr: new ReportedOutput({ mark }) }
  }

  /** Resolves once the program runs. */
  get begun(): Promise<unknown> {
    return this.#begun.promise
  }

  /** Why its input ended too early: an error of its source. */
  get inputFailure(): { readonly error: unknown } | undefined {
    return this.#sent?.failure
  }

  /**
   * What became of the program, once all of its kept output was passed on; `undefined` if the guest does not have it.
   *
   * @throws an error of the way, after which it may be followed again
   */
  async follow(signal: AbortSignal): Promise<KeptOutcome | undefined> {
    const { exitCode } = await this.#guest.use((way) => {
      const args = [folderOf(this.#kept), String(this.#taken.stdout), String(this.#taken.stderr)]
      return way.run(
        { argv: [shell, '-c', followScript, 'sh', ...args], endsWithClient: true },
        { ...nobody, output: (stream, bytes) => this.#take(stream, bytes) },
        signal,
      )
    })
    const { stdout, stderr } = this.#outputs
    if (exitCode === followed.gone) {
      if (stdout.end === undefined || stderr.end === undefined) return undefined
    } else if (exitCode !== followed.complete && exitCode !== followed.truncated) {
      throw programEndUnknown(`its output could not be read: exit code ${exitCode}`)
    }
    const end = stdout.end ?? stderr.end
    if (end === undefined) throw programEndUnknown('its guest does not tell how it ended')
    if (end.signal === 'STOPPED') return { error: new JobCancelledError({ reason: 'it was asked to end' }) }
    const name = signalNames.find((known) => known === `SIG${end.signal}`)
    const told: ProgramEnd = {
      ...(name === undefined ? { exitCode: end.code } : { signal: name }),
      ...(exitCode === followed.truncated && { isTruncated: true }),
    }
    try {
      this.#wrapped.requireBegun(told)
    } catch (error) {
      return { error }
    }
    return { end: told }
  }

  /** Ends the program and all that it started; false if it had ended. */
  async stop(): Promise<boolean> {
    return await this.#script(stopKeptScript)
  }

  /**
   * Writes the input to the program, until the signal is aborted. The end of the input is that of the program's. If its source fails,
   * the program is stopped.
   */
  async feed(input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const args = [folderOf(this.#kept)]
    this.#sent = new SentInput(input)
    const fed = { ...nobody, input: this.#sent.bytes() }
    const { exitCode } = await this.#guest.use((way) =>
      way.run({ argv: [shell, '-c', feedScript, 'sh', ...args], endsWithClient: true }, fed, signal),
    )
    if (this.inputFailure !== undefined) await this.stop()
    // After another exit code, the program reads no more.
    else if (exitCode === 0 && !signal.aborted) {
      await this.#guest.use((way) => run(way, { text: endInputScript, args, isHarmless: true }))
    }
  }

  /** The report of its begin, which both outputs have. */
  get #firstReport(): BegunProgram | undefined {
    return this.#outputs.stdout.begun ?? this.#outputs.stderr.begun
  }

  async #script(text: string, ...more: readonly string[]): Promise<boolean> {
    if (this.#firstReport === undefined) return false
    const { pid, parent } = this.#firstReport
    const kept = this.#kept
    const args = [folderOf(kept), markOf(kept), environmentOf(kept), String(pid), String(parent), ...more]
    const { exitCode, stderr } = await this.#guest.use((way) => run(way, { text, args }))
    if (exitCode === 0) return true
    if (exitCode === hasEnded || exitCode === followed.gone) return false
    throw programEndUnknown(`it could not be signalled: ${stderr}`)
  }

  async #take(stream: 'stdout' | 'stderr', piece: Uint8Array): Promise<void> {
    this.#taken[stream] += piece.byteLength
    for (const { bytes, isOwn } of this.#outputs[stream].take(piece)) {
      this.#tell()
      if (isOwn && stream === 'stdout' && this.#wrapped.pid === undefined) this.#early.push(bytes)
      else if (isOwn) await this.#wrapped.io.output(stream, bytes)
    }
    this.#tell()
    if (this.#wrapped.pid === undefined) return
    for (const bytes of this.#early.splice(0)) await this.#wrapped.io.output('stdout', bytes)
  }

  #tell(): void {
    if (this.#begun.value === true || this.#firstReport === undefined) return
    this.#wrapped.io.begun({
      kill: (signal: SignalName) => this.#script(signalKeptScript, signal.slice('SIG'.length)),
    })
    this.#begun.resolve(true)
  }
}
