import type { HostProgram, StartOptions } from '../../ssh/host-program.js'

/** The folder of Parallels Desktop's programs, which is not in every PATH of a Mac. */
export const programFolder = '/usr/local/bin'

/** The machine that runs the VMs. */
export interface HostMachine {
  readonly hostName: string
  readonly cpus: number
  readonly memoryMiB: number
  readonly freeMemoryMiB: number
  /** `'arm64'`, `'x86_64'` */
  readonly architecture: string
}

/** Runs the programs of Parallels, on this machine or on another one by ssh. */
export interface Transport {
  start(argv: readonly string[], options: StartOptions): HostProgram
  describe(): Promise<HostMachine>
  /** Minutes that the host's clock is ahead of UTC; absent if it is this machine's clock. */
  zone(): Promise<number | undefined>
  isReadableFile(path: string): Promise<boolean>
  /** Reads a file, and removes it. */
  takeFile(path: string): Promise<Uint8Array>
  /** Removes a file, if it exists. */
  removeFile(path: string): Promise<void>
  /** The path of a new temporary file. */
  temporaryPath(suffix: string): string
  close(): Promise<void>
}
