import type { PtySize } from '../model/exec.js'
import type { SignalName } from '../model/signal.js'

/** Takes bytes. What follows must wait for the promise, if there is one: it resolves once more is wanted. */
export type Sink = (bytes: Uint8Array) => Promise<void> | void

/** What passes between a program in a guest and its user. A driver only moves bytes: it collects, limits and decodes nothing. */
export interface ProgramIo {
  /**
   * The bytes for standard input; `undefined` if it is at its end from the start. The driver ends the iteration with the program. An
   * error that it ends with is that of the operation: the driver ends the program, and rejects with that error.
   */
  readonly input: AsyncIterable<Uint8Array> | undefined
  /** Takes output of the program, in the order in which it was written. What follows must wait for the promise, if there is one. */
  readonly output: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
  /** To be called once the program runs, before its first output. */
  begun(control: ProgramControl): void
}

/** What can be done to a program that runs. */
export interface ProgramControl {
  /** Sends a signal. `false` if the program had ended. */
  kill(signal: SignalName): Promise<boolean>
  /** Resizes the terminal; absent if the program has none. */
  resize?(size: PtySize): Promise<void>
}

/** How a program ended: by itself, or by a signal. */
export interface ProgramEnd {
  /** Absent if a signal ended the program; 128 and its number for a signal without a name. */
  readonly exitCode?: number | undefined
  /** The signal that ended the program. */
  readonly signal?: SignalName | undefined
  /** How long the program ran, in milliseconds, if the host knows; else as long as it took from here. */
  readonly durationMs?: number | undefined
  /** Whether the host dropped output. */
  readonly isTruncated?: boolean | undefined
}
