import type { DriverOperations } from '../driver/driver.js'
import type { ProgramEnd, ProgramIo } from '../driver/program-io.js'
import type { Task } from '../driver/task.js'
import type { PtySize } from '../model/exec.js'

/** A program that a {@link GuestWay} runs. */
export interface GuestProgram {
  /** The program and its arguments. The first is a path, or a name that the guest looks for in its `PATH`. */
  readonly argv: readonly string[]
  /** Environment variables, besides those that the guest gives to programs. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The folder that it is started in. */
  readonly cwd?: string | undefined
  /** The user of the guest who runs it. */
  readonly user?: string | undefined
  /** The size of its terminal; it has none if absent. */
  readonly pty?: PtySize | undefined
  /** It should end with the connection to the guest, also if this process is killed. Other programs end themselves once their input ends. */
  readonly endsWithClient?: boolean | undefined
  /** It changes nothing: it may be run again if its outcome got lost. */
  readonly isHarmless?: boolean | undefined
  /** It reads or writes more than 64 KiB, or nobody knows how much: a way that has a faster one for much data may take that. */
  readonly isBulk?: boolean | undefined
}

/**
 * A way to run programs in the guest of one VM. All operations in a guest are made of it: {@link guestOperations}.
 *
 * A `VmError` that it throws is that of the operation: a `GuestUnavailableError` if the guest does not answer, an
 * `OutcomeUnknownError` if it is unknown how a program ended.
 */
export interface GuestWay {
  /** The id of the VM, for messages. */
  readonly vm: string
  /** The name of the driver, for errors. */
  readonly driver: string
  /**
   * Runs a program to its end. The end of `io.input` is the end of its standard input. The promise resolves once the program has ended
   * and all of its own output was passed on, even if a process that it has left in the background holds the output open.
   *
   * @param signal Aborting it ends the program and all that it started. The promise then rejects with the reason of the signal, or a
   *   `JobCancelledError`, once it has really ended; or with an `OutcomeUnknownError`.
   */
  run(program: GuestProgram, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd>
}

/** How a driver reaches its guests. */
export interface GuestHost {
  /**
   * Calls the action with a way into the guest of a VM.
   *
   * @throws InvalidStateError if the VM does not run; GuestUnavailableError if its guest does not answer, `retryable` if it may answer
   *   later
   */
  use<T>(vm: string, task: Task, action: (way: GuestWay) => Promise<T>): Promise<T>
  /** Runs a program that outlives the connection. If absent, `detached` is refused. */
  readonly execDetached?: DriverOperations['guest.exec']
}
