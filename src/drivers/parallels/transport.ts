import type { HostProgram, StartOptions } from '../../ssh/host-program.js'

/** Where Parallels Desktop puts its programs, which is not in every PATH of a Mac. */
export const programFolder = '/usr/local/bin'

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
