import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/** How a program of a host ended. */
export type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string }
  /** It was not begun: nothing was sent to the host. */
  | { readonly kind: 'not-begun'; readonly error: Error }
  /** It was begun, and the connection was lost before its end. */
  | { readonly kind: 'lost'; readonly reason: string }

/** A program that runs on a host. */
export interface HostProgram {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles once it has ended and its output is complete. */
  readonly ended: Promise<Ending>
  /** Asks it to stop, as with the key Ctrl-C. */
  interrupt(): void
  kill(): void
}

export interface StartOptions {
  /** True if something is written to its standard input; else that is at its end. */
  readonly hasInput: boolean
  /** True to make it print without delay, with a terminal if it needs one. */
  readonly isLive?: boolean | undefined
}

/** The ending of a child process, or the reason why there is none. */
export const endingOf = (child: ChildProcess): Promise<Ending> =>
  once(child, 'close').then(
    ([code, signal]: unknown[]): Ending =>
      typeof code === 'number' ? { kind: 'exit', code } : { kind: 'signal', signal: String(signal) },
    (error: unknown): Ending => ({
      kind: 'not-begun',
      error: error instanceof Error ? error : new Error(String(error)),
    }),
  )

/** A child process as a program of its host, with the signals that stop it. */
export const programOf = (
  child: ChildProcessWithoutNullStreams,
  signals: { readonly interrupt: NodeJS.Signals; readonly kill: NodeJS.Signals },
): HostProgram => ({
  stdin: child.stdin,
  stdout: child.stdout,
  stderr: child.stderr,
  ended: endingOf(child),
  interrupt: () => void child.kill(signals.interrupt),
  kill: () => void child.kill(signals.kill),
})
