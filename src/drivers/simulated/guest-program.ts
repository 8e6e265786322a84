import type { ExecOptions, ExecResult } from '../../model/exec.js'

/** What a test's program leaves behind; what is absent is empty, and the exit code 0. */
export interface SimulatedExecResult {
  readonly exitCode?: number | undefined
  /** The signal that ended it; then it has no exit code. */
  readonly signal?: number | undefined
  readonly stdout?: string | Uint8Array | undefined
  readonly stderr?: string | Uint8Array | undefined
  readonly isTruncated?: boolean | undefined
}

/** A program that runs in the guest. */
export interface SimulatedProgram {
  readonly argv: readonly string[]
  readonly options: ExecOptions
  /** The VM's name. */
  readonly vm: string
  /** Aborted when the job is cancelled, or the VM goes. */
  readonly signal: AbortSignal
  /** Lets time pass, by the host's clock; rejects when the program is stopped. */
  sleep(ms: number): Promise<void>
}

/** Runs programs for `vm.guest.exec`; `undefined` says that there is no such program. */
export type ExecHandler = (
  program: SimulatedProgram,
) => SimulatedExecResult | undefined | Promise<SimulatedExecResult | undefined>

const bytes = (output: string | Uint8Array | undefined): Uint8Array =>
  output === undefined ? new Uint8Array() : typeof output === 'string' ? new TextEncoder().encode(output) : output

export const execResult = ({ exitCode, signal, stdout, stderr, isTruncated }: SimulatedExecResult): ExecResult => ({
  exitCode: signal === undefined ? (exitCode ?? 0) : undefined,
  ...(signal !== undefined && { signal }),
  stdout: bytes(stdout),
  stderr: bytes(stderr),
  isTruncated: isTruncated ?? false,
})

/** What a shell says of a program that it does not find. */
export const noSuchProgram = ([program = '']: readonly string[]): SimulatedExecResult => ({
  exitCode: 127,
  stderr: `${program}: not found\n`,
})
