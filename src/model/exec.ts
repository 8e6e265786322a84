/** What a program in the guest is started with. */
export interface ExecOptions {
  /** Bytes for the program's standard input. */
  readonly input?: string | Uint8Array | undefined
  /** Environment variables, besides those of the agent. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The folder that the program is started in, as an absolute path of the guest. */
  readonly cwd?: string | undefined
}

/** The result of a program that ran in the guest. */
export interface ExecResult {
  /** The program's exit code; `undefined` if a signal ended it. A code other than 0 is no error of `exec`. */
  readonly exitCode: number | undefined
  /** The number of the signal that ended the program. */
  readonly signal?: number | undefined
  /** What the program wrote to its standard output. */
  readonly stdout: Uint8Array
  /** What the program wrote to its standard error. */
  readonly stderr: Uint8Array
  /** Whether the host cut the output off. */
  readonly isTruncated: boolean
}

/** An address of a guest, without a prefix length. */
export interface NetworkAddress {
  /** The interface's name in the guest: `eth0`. */
  readonly interfaceName: string
  /** `10.0.2.15`, `fec0::5054:ff:fe12:3456`. */
  readonly address: string
  /** Which kind of address it is. */
  readonly family: 'ipv4' | 'ipv6'
  /** The interface's hardware address; absent if the agent does not tell. */
  readonly macAddress?: string | undefined
}
