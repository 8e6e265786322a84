/** The licence of a host's software, in the host's words. */
export interface HostLicense {
  /** `'active'`, `'expired'`, ... */
  readonly status: string
  /** `'pro'`, `'business'`, ... */
  readonly edition?: string | undefined
  /** When it ends. */
  readonly expires?: string | undefined
  readonly isTrial?: boolean | undefined
}

/** What a host says of itself. */
export interface HostInfo {
  /** The driver: `'embedded'`, `'qmp'`, ... */
  readonly driver: string
  readonly hostName: string
  /** The hypervisor's name and version. */
  readonly hypervisor: string
  readonly version: string
  /** What runs the guests' instructions, where hosts differ: `'kvm'`, `'hvf'`, or emulation by `'tcg'`. */
  readonly accelerator?: string | undefined
  /** Logical processors of the machine that the VMs run on. */
  readonly cpus: number
  /** Its physical memory, and what of it is free, in MiB. */
  readonly memoryMiB: number
  readonly freeMemoryMiB: number
  /** Processor architecture of the guests: `'i686'`, `'x86_64'`. */
  readonly guestArchitecture: string
  /** Absent where the host needs none. */
  readonly license?: HostLicense | undefined
}
