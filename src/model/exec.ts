export interface ExecOptions {
  /** Bytes for the program's standard input. */
  readonly input?: string | Uint8Array | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
}

/** What a program in the guest left behind. */
export interface ExecResult {
  /** `undefined` where a signal ended it. */
  readonly exitCode: number | undefined
  readonly signal?: number | undefined
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  /** Whether the host cut the output off. */
  readonly isTruncated: boolean
}

/** An address of a guest, without a prefix length. */
export interface NetworkAddress {
  /** The interface's name in the guest: `eth0`. */
  readonly interfaceName: string
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  readonly macAddress?: string | undefined
}
