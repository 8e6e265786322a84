/** A disk that the guest writes to. Changes are kept with the VM: the image itself is only read. */
export interface DiskConfig {
  /** Absolute path of a raw image that the disk starts from; absent for a blank disk. */
  readonly image?: string | undefined
  /** Size in MiB; that of the image where there is one. */
  readonly sizeMiB?: number | undefined
}

/** A CD-ROM or floppy image, which is only read. */
export interface MediaConfig {
  /** Absolute path. */
  readonly image: string
}

/** What the VM boots. With nothing given, the disks, CD-ROMs and floppies in turn, or the host's small built-in guest. */
export interface BootConfig {
  /** Absolute path of a kernel that is booted directly, without firmware: a Linux bzImage or a multiboot image. */
  readonly kernel?: string | undefined
  readonly initrd?: string | undefined
  readonly commandLine?: string | undefined
  /** Absolute path of a BIOS image, where the host's own is not wanted. */
  readonly firmware?: string | undefined
  /** Absolute path of the VGA BIOS that belongs to it. */
  readonly videoFirmware?: string | undefined
  /** The order in which devices are tried. */
  readonly order?: readonly ('disk' | 'cdrom' | 'floppy')[] | undefined
}

/** The settings of a VM, as its host has them. */
export interface VmConfig {
  readonly name: string
  readonly description: string
  readonly cpus: number
  readonly memoryMiB: number
  readonly disks: readonly DiskConfig[]
  readonly cdroms: readonly MediaConfig[]
  readonly floppies: readonly MediaConfig[]
  readonly boot: BootConfig
  /** Absent where the host does not tell. */
  readonly createdAt?: Date | undefined
}
