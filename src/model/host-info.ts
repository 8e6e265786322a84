/** The licence of a host's software, in the host's words. */
export interface HostLicense {
  /** `'active'`, `'expired'`, ... */
  readonly status: string
  /** `'pro'`, `'business'`, ... */
  readonly edition?: string | undefined
  /** When it ends. */
  readonly expires?: string | undefined
  /** Whether it is a trial licence. */
  readonly isTrial?: boolean | undefined
}

/** What a host reports of itself. */
export interface HostInfo {
  /** The driver: `'embedded'`, `'qmp'`, ... */
  readonly driver: string
  /** The name of the machine that the VMs run on. */
  readonly hostName: string
  /** The hypervisor's name: `'QEMU'`. */
  readonly hypervisor: string
  /** The hypervisor's version: `'7.2.22'`. */
  readonly version: string
  /** What runs the guests' instructions, if hosts of this kind differ: `'kvm'`, `'hvf'`, or emulation by `'tcg'`. */
  readonly accelerator?: string | undefined
  /** Logical processors of the machine that the VMs run on. */
  readonly cpus: number
  /** Physical memory of that machine, in MiB. */
  readonly memoryMiB: number
  /** How much of that memory is free, in MiB. */
  readonly freeMemoryMiB: number
  /** Processor architecture of the guests: `'i686'`, `'x86_64'`. */
  readonly guestArchitecture: string
  /** Absent if the host needs none. */
  readonly license?: HostLicense | undefined
}
