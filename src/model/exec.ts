import type { Readable } from 'node:stream'
import type { SignalName } from './signal.js'

/** The size of a terminal, in characters. */
export interface PtySize {
  /** From 1 to 65535. */
  readonly columns: number
  /** From 1 to 65535. */
  readonly rows: number
}

/** A piece of what a program wrote. */
export interface ProgramOutput<Output extends string | Uint8Array = string | Uint8Array> {
  /** The output that it was written to; with a terminal, always `'stdout'`. */
  readonly stream: 'stdout' | 'stderr'
  /** Text, or bytes with `encoding: 'buffer'`. A character is never split. */
  readonly data: Output
}

/** What a program reads from its standard input. */
export type ProgramInput = string | Uint8Array | Readable | AsyncIterable<string | Uint8Array>

/** How a program in the guest is run; the part that a driver needs. */
export interface ProgramOptions {
  /** Environment variables, besides those that the guest gives to programs. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The folder that the program is started in, as an absolute path of the guest. */
  readonly cwd?: string | undefined
  /** The user of the guest who runs the program, by name; that of the host's way into the guest if absent. */
  readonly user?: string | undefined
  /** A terminal of this size for the program. It carries both outputs: `stderr` is empty. */
  readonly pty?: PtySize | undefined
  /**
   * The program outlives `server.close()` and this process, and has a token: any process finds it by `server.getJobs()` while it runs,
   * and `server.attachJob()` gives its output from the first byte, its input and its end. QEMU's guests keep the first 16 MiB of each
   * output, and all of it for an hour after the end unless somebody attaches and takes it. It can't have a `pty`.
   *
   * Without it, `server.close()` ends the program, and other connections don't see it. A host that can't keep programs refuses it
   * with `NOT_SUPPORTED`.
   */
  readonly detached?: boolean | undefined
}

/** How a program in the guest is run, and what becomes of its input and output. */
export interface ExecOptions<Output extends string | Uint8Array = string | Uint8Array> extends ProgramOptions {
  /** What the program reads. An error of a stream ends the program and the job. */
  readonly input?: ProgramInput | undefined
  /** `'pipe'`: `job.stdin` can be written to. Without it and `input`, standard input is at its end. */
  readonly stdin?: 'pipe' | undefined
  /** Whether the result, `output()` and `onOutput` have text, the default, or bytes. Bytes that are not UTF-8 become U+FFFD. */
  readonly encoding?: 'utf8' | 'buffer' | undefined
  /** An exit code other than 0, or a signal, ends the job with a `ProgramFailedError`. */
  readonly check?: boolean | undefined
  /** How many bytes of each output the result keeps, the first ones; 16 MiB if absent. */
  readonly maxOutputBytes?: number | undefined
  /** Called with each piece of output, in order. The program waits for a promise that it returns. */
  readonly onOutput?: ((output: ProgramOutput<Output>) => void | Promise<void>) | undefined
}

/** The result of a program that ran in the guest. */
export interface ExecResult<Output extends string | Uint8Array = string> {
  /** The program's exit code; `undefined` if a signal ended it. A code other than 0 is no error of `exec`. */
  readonly exitCode: number | undefined
  /** The signal that ended the program. */
  readonly signal?: SignalName | undefined
  /** What the program wrote to its standard output; with a terminal, all that it wrote. */
  readonly stdout: Output
  /** What the program wrote to its standard error. */
  readonly stderr: Output
  /** Whether `stdout` or `stderr` has a part of the output only. */
  readonly isTruncated: boolean
  /** How long the program ran, in milliseconds, as its host tells; else as seen from here. */
  readonly durationMs: number
}
