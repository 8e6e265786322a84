/** A new disk that the guest writes to. Changes are kept with the VM: the image itself is only read. */
export interface DiskSpec {
  /** Absent: the host gives the disk its id. */
  readonly id?: undefined
  /**
   * Absolute path of a raw image that the disk starts from; absent for a blank disk. Its size and time of change are remembered:
   * once it was written anew, the disk is not used any more.
   */
  readonly image?: string | undefined
  /** Size in MiB, at least that of the image; that of the image if absent. A blank disk needs one. */
  readonly sizeMiB?: number | undefined
}

/**
 * A disk of a VM.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:').unwrap()
 * const vm = await server.createVm({ name: 'db-1', disks: [{ sizeMiB: 512 }, { sizeMiB: 512 }] }).unwrap()
 * const [system, data] = vm.config.disks
 * if (system === undefined || data === undefined) throw new Error('two disks were asked for')
 *
 * // The first disk grows, and a third one is added; each keeps its content.
 * await vm.edit({ disks: [{ ...system, sizeMiB: 1024 }, data, { sizeMiB: 64 }] }).unwrap()
 * // Only what is named here is deleted.
 * await vm.edit({ deleteDisks: [data.id] }).unwrap()
 * ```
 */
export interface DiskConfig extends Omit<DiskSpec, 'id'> {
  /**
   * Unique in its VM. The host gives it when the disk is made, and it stays as long as the disk is there: over edits, snapshots and
   * moves of the VM. A clone's disks have ids of their own where the host gives them, and else those of the original's. On Parallels
   * the id is the name of the disk's image: a new disk may get the id of one that was deleted.
   */
  readonly id: string
}

/**
 * A CD-ROM or floppy image, which is only read. It may have been written anew at each start; saved memory goes on only with the
 * image that it had.
 */
export interface MediaConfig {
  /** Absolute path. */
  readonly image: string
}

/** What the VM boots. With nothing given, the disks, CD-ROMs and floppies in turn, or the host's small built-in guest. */
export interface BootConfig {
  /** Absolute path of a kernel that is booted directly, without firmware: a Linux bzImage or a multiboot image. */
  readonly kernel?: string | undefined
  /** Absolute path of the initial RAM disk that belongs to the kernel. */
  readonly initrd?: string | undefined
  /** The kernel's command line: `console=ttyS0`. */
  readonly commandLine?: string | undefined
  /** Absolute path of a BIOS image; the host's own if absent. */
  readonly firmware?: string | undefined
  /** Absolute path of the VGA BIOS that belongs to it. */
  readonly videoFirmware?: string | undefined
  /** The order in which devices are tried. */
  readonly order?: readonly ('disk' | 'cdrom' | 'floppy')[] | undefined
}

/** A port of the host; what comes in there goes on to a port of the guest. */
export interface PortForward {
  /** 1 to 65535. */
  readonly guestPort: number
  /**
   * 1 to 65535. Where it is absent, the host finds a free one each time that the VM is started or resumed: the one of the last
   * time, if nobody has it. `vm.config` tells which after a `vm.refresh()`, as long as the VM runs.
   */
  readonly hostPort?: number | undefined
  /** `'tcp'` if absent. */
  readonly protocol?: 'tcp' | 'udp' | undefined
  /**
   * The IPv4 address of the host that it listens on. If absent `'127.0.0.1'`, which programs on the host itself reach and nobody
   * else; `'0.0.0.0'` is all that the host has, and lets in whoever reaches it. To answer what comes from elsewhere than the host's
   * 127.0.0.1, a guest must know its gateway, of which DHCP tells where the adapter is `outbound`.
   */
  readonly hostAddress?: string | undefined
}

/**
 * A network adapter. Behind it is an IPv4 network that the guest has for itself, with DHCP.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('qmp:///srv/vms').unwrap()
 * const vm = await server
 *   .createVm({
 *     name: 'web-1',
 *     disks: [{ image: '/images/debian.raw' }],
 *     networkAdapters: [{ portForwards: [{ guestPort: 80 }] }],
 *   })
 *   .unwrap()
 * await vm.start().unwrap()
 * const { networkAdapters } = await vm.refresh().unwrap()
 * console.log(networkAdapters?.[0]?.portForwards?.[0]?.hostPort)
 * ```
 */
export interface NetworkAdapterConfig {
  /** Six bytes in hexadecimal, `52:54:00:12:34:56`. If absent the host makes one up, which the VM keeps; a clone gets another. */
  readonly macAddress?: string | undefined
  /**
   * Whether the guest may begin connections. If absent or `false` it reaches nothing, neither outside of the host nor on it; it
   * still answers what comes in by `portForwards`. With `true` it reaches whatever the host reaches, **and the services that
   * listen on the host's own 127.0.0.1 as well**, under the address of its gateway (10.0.2.2): QEMU has no switch between the two.
   */
  readonly outbound?: boolean | undefined
  /** Without any, nobody reaches the guest. */
  readonly portForwards?: readonly PortForward[] | undefined
}

/** The settings of a VM, as its host has them. */
export interface VmConfig {
  /** Unique on its host. */
  readonly name: string
  /** Any text; may be empty. */
  readonly description: string
  /** Virtual processors. */
  readonly cpus: number
  /** Memory in MiB. */
  readonly memoryMiB: number
  /** In the order of the drives. */
  readonly disks: readonly DiskConfig[]
  /** In the order of the drives. */
  readonly cdroms: readonly MediaConfig[]
  /** In the order of the drives. */
  readonly floppies: readonly MediaConfig[]
  /** What the VM boots. */
  readonly boot: BootConfig
  /** With what the host decided if nothing was asked for. Absent if the host does not tell. */
  readonly networkAdapters?: readonly NetworkAdapterConfig[] | undefined
  /** When the VM was made. Absent if the host does not tell. */
  readonly createdAt?: Date | undefined
}
