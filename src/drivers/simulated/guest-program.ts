import type { BufferedEnd } from '../../driver/buffered-program.js'
import type { ProgramOptions } from '../../model/exec.js'

/** The result of a program that a test runs for a guest. */
export interface SimulatedExecResult {
  /** 0 if absent. */
  readonly exitCode?: number | undefined
  /** The number of the signal that ended the program, which then has no exit code. */
  readonly signal?: number | undefined
  /** What the program printed; empty if absent. A string is encoded as UTF-8. */
  readonly stdout?: string | Uint8Array | undefined
  /** What the program printed as errors; empty if absent. A string is encoded as UTF-8. */
  readonly stderr?: string | Uint8Array | undefined
  /** `true` if the output is cut off, as an agent does with a long one; `false` if absent. */
  readonly isTruncated?: boolean | undefined
}

/** A program that `vm.guest.exec` runs in a guest. */
export interface SimulatedProgram {
  /** The program and its arguments. */
  readonly argv: readonly string[]
  /** The options that `vm.guest.exec` was given. */
  readonly options: ProgramOptions & { readonly input?: Uint8Array | undefined }
  /** The VM's name. */
  readonly vm: string
  /** Aborted if the job is cancelled or the guest ends. */
  readonly signal: AbortSignal
  /** Waits this many milliseconds by the host's clock. Rejects with an `AbortError` if the program is stopped. */
  sleep(ms: number): Promise<void>
}

/** Runs programs for `vm.guest.exec`. `undefined` means that there is no such program: its exit code is 127, as in a shell. */
export type ExecHandler = (
  program: SimulatedProgram,
) => SimulatedExecResult | undefined | Promise<SimulatedExecResult | undefined>

const bytes = (output: string | Uint8Array | undefined): Uint8Array =>
  output === undefined ? new Uint8Array() : typeof output === 'string' ? new TextEncoder().encode(output) : output

export const execResult = ({ exitCode, signal, stdout, stderr, isTruncated }: SimulatedExecResult): BufferedEnd => ({
  exitCode: signal === undefined ? (exitCode ?? 0) : undefined,
  ...(signal !== undefined && { signal }),
  stdout: bytes(stdout),
  stderr: bytes(stderr),
  isTruncated: isTruncated ?? false,
})

/** The result that a shell gives for a program that it does not find. */
export const noSuchProgram = ([program = '']: readonly string[]): SimulatedExecResult => ({
  exitCode: 127,
  stderr: `${program}: not found\n`,
})
