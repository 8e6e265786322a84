import * as v from 'valibot'
import { validate } from '../../errors/validate.js'
import type { ProgramOptions, PtySize } from '../../model/exec.js'
import { flag, object, optional, wholeFrom0, type EntriesOf } from '../../model/schema.js'
import { signalNames, type SignalName } from '../../model/signal.js'

/** How a program that a test runs for a guest ends, and what it prints last. */
export interface SimulatedExecResult {
  /** 0 if absent. */
  readonly exitCode?: number | undefined
  /** The signal that ended the program, which then has no exit code. */
  readonly signal?: SignalName | undefined
  /** What the program prints at its end; nothing if absent. A string is encoded as UTF-8. */
  readonly stdout?: string | Uint8Array | undefined
  /** What the program prints as errors at its end; nothing if absent. A string is encoded as UTF-8. */
  readonly stderr?: string | Uint8Array | undefined
  /** `true` if the host has dropped output, as some do with a long one; `false` if absent. */
  readonly isTruncated?: boolean | undefined
}

/** What a program prints while it runs: to standard output, or as it says. A string is encoded as UTF-8. */
export type SimulatedOutput = string | Uint8Array | Pick<SimulatedExecResult, 'stdout' | 'stderr'>

/** A program that `vm.guest.exec` runs in a guest. */
export interface SimulatedProgram {
  /** The program and its arguments. Those of a line for the shell are `['/bin/sh', '-c', line]`. */
  readonly argv: readonly string[]
  /** The options that `vm.guest.exec` was given, but for those of its input and output. */
  readonly options: ProgramOptions
  /** The VM's name. */
  readonly vm: string
  /** What the program is given to read. It ends at the end of the input; without any, at once. */
  readonly stdin: AsyncIterable<Uint8Array>
  /** Aborted if the program is ended: its job is cancelled, a signal ends it, or its guest ends. */
  readonly signal: AbortSignal
  /** Waits this many milliseconds by the host's clock. Rejects with an `AbortError` if the program is ended. */
  sleep(ms: number): Promise<void>
  /**
   * Catches signals, until the returned function is called. Without it, a signal does what it does to a process: most end it.
   * `SIGKILL` is not caught.
   */
  onSignal(listener: (signal: SignalName) => void): () => void
  /** Calls the listener when the terminal is resized, until the returned function is called. */
  onResize(listener: (size: PtySize) => void): () => void
}

/**
 * Runs programs for `vm.guest.exec`. It answers how the program ends, now or later; or it is a generator of what the program prints,
 * which returns how it ends, with 0 if it returns nothing. It goes on once the program's readers want more. `undefined` instead means
 * that there is no such program: its exit code is 127, as in a shell.
 */
export type ExecHandler = (
  program: SimulatedProgram,
) =>
  | SimulatedExecResult
  | undefined
  | Promise<SimulatedExecResult | undefined>
  | AsyncGenerator<SimulatedOutput, SimulatedExecResult | void | undefined>
  | Generator<SimulatedOutput, SimulatedExecResult | void | undefined>

/** The result that a shell gives for a program that it does not find. */
export const noSuchProgram = ([program = '']: readonly string[]): SimulatedExecResult => ({
  exitCode: 127,
  stderr: `${program}: not found\n`,
})

const bytes = optional(v.union([v.string(), v.instance(Uint8Array)], 'must be a string or a Uint8Array'))
const resultSchema = object({
  exitCode: optional(wholeFrom0(255)),
  signal: optional(v.picklist(signalNames, 'must be the name of a signal, such as "SIGTERM"')),
  stdout: bytes,
  stderr: bytes,
  isTruncated: flag,
} satisfies EntriesOf<SimulatedExecResult>)
const outputSchema = object({ stdout: bytes, stderr: bytes })

/** How a handler says that its program ends. Throws if it is not a result. */
export const checkedResult = (result: unknown): SimulatedExecResult =>
  checked(resultSchema, result, 'the result of the program')

/** What a handler says that its program prints. Throws if it is no output. */
export const checkedOutput = (output: unknown): Pick<SimulatedExecResult, 'stdout' | 'stderr'> =>
  typeof output === 'string' || output instanceof Uint8Array
    ? { stdout: output }
    : checked(outputSchema, output, 'the output of the program')

/** A mistake of a test, and not of the code under test: an error that is no `VmError`. */
function checked<S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const valid = validate(schema, value, what)
  if (valid.isErr()) throw new TypeError(valid.error.reason)
  return valid.value
}
