import type { Readable, Writable } from 'node:stream'

/** How a program of the host ended. */
export type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string }
  /** It was not begun: nothing was sent to the host. */
  | { readonly kind: 'not-begun'; readonly error: Error }
  /** It was begun, and nobody can say how it ended. */
  | { readonly kind: 'lost'; readonly reason: string }

/** A program that runs on the host. */
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
  /** Whether something is written to its standard input; else that is at its end. */
  readonly hasInput: boolean
  /** Whether it is given a terminal where that makes it print without delay. */
  readonly isLive?: boolean | undefined
}

/** What the machine that the VMs run on says of itself. */
export interface HostMachine {
  readonly hostName: string
  readonly cpus: number
  readonly memoryMiB: number
  readonly freeMemoryMiB: number
  /** `'arm64'`, `'x86_64'` */
  readonly architecture: string
}

/** Where the programs of Parallels are run: on this machine, or on another by ssh. */
export interface Transport {
  start(argv: readonly string[], options: StartOptions): HostProgram
  describe(): Promise<HostMachine>
  /** Minutes that the host's clock is ahead of UTC; absent where it is this machine's clock. */
  zone(): Promise<number | undefined>
  isReadableFile(path: string): Promise<boolean>
  /** The content of a file, which is removed. */
  takeFile(path: string): Promise<Uint8Array>
  /** It need not be there. */
  removeFile(path: string): Promise<void>
  /** A path that no file has. */
  temporaryPath(suffix: string): string
  close(): Promise<void>
}
