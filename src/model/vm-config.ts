import type { CloudInitConfig } from './cloud-init.js'
import type { GuestAccess } from './guest-access.js'
import type { NativeSettings } from './native-settings.js'
import type { ShareConfig } from './share.js'
import type { VmLabels } from './vm-labels.js'

/** The machine that QEMU emulates: a PC of 2009 with PCI Express and SATA, or one of 1996 with PCI and IDE. */
export type MachineType = 'q35' | 'pc'

/** The processors of a guest: those of PCs, or the 64-bit ones of ARM. */
export type GuestArchitecture = 'x86_64' | 'aarch64'

/** How a disk is connected to the machine. */
export type DiskBus = 'virtio' | 'scsi' | 'sata' | 'ide'

/** A new disk. What the guest writes is kept with the VM: the image itself is only read. */
export interface DiskSpec {
  /** Absent: the host assigns the id. */
  readonly id?: undefined
  /**
   * Absolute path of an image that the disk starts from; absent for a blank disk. Every host with images takes raw ones, a multiple of
   * 512 bytes. QEMU (`qmp:`) also takes qcow2, version 2 or 3, compressed or not, and converts vmdk, vdi, vhd, vhdx and qed once
   * for all VMs, into the cache of this computer: the image is not needed after that, and `vm.config` has the path in the cache.
   *
   * The format is found by the file's header when the disk is made, and never again. A file that is no disk, or needs other
   * files, is refused with `INVALID_ARGUMENT`. Its size and modification time are recorded: if the image is rewritten later, the
   * disk is refused.
   *
   * A `.gz`, `.xz` or `.zst` around the image is unpacked once, into the cache of this computer, and `vm.config` has the path there.
   *
   * Or a URL of https or http, with the checksum of the file: it is fetched into the cache of this computer, unless it is there, and
   * `vm.config` has its path in the cache. See `server.images`.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * const folder = 'https://cloud.debian.org/images/cloud/bookworm/latest'
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await server
   *   .createVm({
   *     name: 'web-1',
   *     disks: [{ image: `${folder}/debian-12-genericcloud-amd64.qcow2`, sha512: `${folder}/SHA512SUMS`, sizeMiB: 20_480 }],
   *   })
   *   .unwrap()
   * ```
   */
  readonly image?: string | undefined
  /** The SHA-256 of an image that is fetched, in hexadecimal digits; or the https URL of the vendor's list that has it. */
  readonly sha256?: string | undefined
  /** The SHA-512 of an image that is fetched, likewise. */
  readonly sha512?: string | undefined
  /** Size in MiB, at least that of the disk in the image, and the same if absent. A blank disk needs one. */
  readonly sizeMiB?: number | undefined
  /**
   * How the disk is connected; of QEMU only. `'virtio'` if absent, which is the fastest, and the only one that can be plugged while
   * the VM runs; systems of the last ten years have its driver, except Windows. `'scsi'` is a disk of virtio's SCSI controller.
   * `'sata'` needs the machine `'q35'`, and `'ide'` the machine `'pc'`: at most 6 and 4 drives, CD-ROMs included. It can be
   * changed while the VM is stopped.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * // A system of 1998 knows no other disk than this.
   * await server
   *   .createVm({ name: 'old-1', machine: 'pc', disks: [{ image: '/images/win98.raw', bus: 'ide' }] })
   *   .unwrap()
   * ```
   */
  readonly bus?: DiskBus | undefined
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
export interface DiskConfig extends Omit<DiskSpec, 'id' | 'sha256' | 'sha512'> {
  /**
   * Unique in its VM. The host assigns it when the disk is created, and it does not change with edits, snapshots and moves of the
   * VM. The disks of a clone have new ids. Parallels is an exception: the id is the file name of the disk's image, so a clone's
   * disks have the ids of the original's, and a new disk may get the id of a deleted one.
   */
  readonly id: string
}

/**
 * A drive for CD-ROMs or floppies. An edit of the list inserts, changes and ejects media, also while the VM runs if the host has
 * `'vm.edit.live'`, and on QEMU and the embedded host while it is suspended. A drive is taken away if it is not listed any more, and that, like one more drive, takes
 * a VM that is stopped.
 *
 * @example
 * ```ts
 * import type { Vm } from 'awaitvm'
 *
 * export async function install(vm: Vm, image: string): Promise<void> {
 *   await vm.edit({ cdroms: [{ image }] }).unwrap()
 *   await vm.start({ until: 'ready' }).unwrap()
 *   // Out comes the medium, and the drive stays. A guest that has locked its tray is asked to open it.
 *   await vm.edit({ cdroms: [{}] }).unwrap()
 * }
 * ```
 */
export interface MediaConfig {
  /**
   * Absolute path of the image of the medium, which is only read; absent if the drive is empty. It may be rewritten between two
   * starts. Saved memory can be resumed only with the image that it had.
   */
  readonly image?: string | undefined
}

/** A CD-ROM drive, which may be empty. */
export interface CdromConfig extends MediaConfig {
  /**
   * How the drive is connected; of QEMU only. If absent, by what each system knows: `'sata'` on the machine `'q35'`, and `'ide'` on
   * `'pc'`. It can be changed while the VM is stopped.
   */
  readonly bus?: Exclude<DiskBus, 'virtio'> | undefined
}

/** What the VM boots. If empty: the disks, CD-ROMs and floppies in turn, or the host's small built-in guest. */
export interface BootConfig {
  /** Absolute path of a kernel that is booted directly, without firmware: a Linux bzImage or a multiboot image. */
  readonly kernel?: string | undefined
  /** Absolute path of the initial RAM disk that belongs to the kernel. */
  readonly initrd?: string | undefined
  /** The kernel's command line: `console=ttyS0`. */
  readonly commandLine?: string | undefined
  /**
   * `'bios'`, `'uefi'`, or the absolute path of an image. If absent, `'bios'` on hosts that have one: the host's own.
   *
   * `'uefi'` is OVMF, which the host finds where packages of Linux and Homebrew have it; if it is not installed, the call ends with
   * a `FirmwareNotFoundError`. Its variables, such as the boot order that an operating system has written, are kept with the VM, its
   * snapshots and its clones. They are deleted if an edit gives the VM another firmware, and an edit of `boot` without `firmware` does.
   *
   * An image is a whole BIOS (or OVMF.fd, whose variables are lost at each stop), or the code of a UEFI for flash memory
   * (OVMF_CODE.fd), which is recognized, and has its variables kept as those of `'uefi'`: they are copied from the OVMF_VARS.fd that
   * belongs to it.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await server
   *   .createVm({ name: 'web-1', disks: [{ image: '/images/debian.raw' }], boot: { firmware: 'uefi' } })
   *   .unwrap()
   * ```
   */
  readonly firmware?: string | undefined
  /**
   * `true`, with the firmware `'uefi'`: secure boot. The firmware has the keys of Microsoft, by which Linux's distributions sign their
   * boot loaders, too, and boots nothing that is not signed. Of QEMU only, with the machine `'q35'` or the architecture `'aarch64'`. An edit
   * that changes it deletes the variables of the firmware, as one of `firmware` does. Absent or `false`: anything is booted.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await server
   *   .createVm({
   *     name: 'web-1',
   *     memoryMiB: 1024,
   *     disks: [{ image: '/images/debian.qcow2' }],
   *     boot: { firmware: 'uefi', secureBoot: true },
   *   })
   *   .unwrap()
   * ```
   */
  readonly secureBoot?: boolean | undefined
  /** Absolute path of the VGA BIOS that belongs to a BIOS. */
  readonly videoFirmware?: string | undefined
  /** The order in which devices are tried. */
  readonly order?: readonly ('disk' | 'cdrom' | 'floppy')[] | undefined
}

/** Forwards a port of the host to a port of the guest. */
export interface PortForward {
  /** 1 to 65535. */
  readonly guestPort: number
  /**
   * 1 to 65535. If absent, the host picks a free port whenever the VM is started or resumed, the same as last time if possible.
   * While the VM runs, `vm.config` shows it after a `vm.refresh()`.
   */
  readonly hostPort?: number | undefined
  /** `'tcp'` if absent. */
  readonly protocol?: 'tcp' | 'udp' | undefined
  /**
   * The IPv4 address of the host to listen on. If absent, `'127.0.0.1'`, which only programs on the host itself can reach.
   * `'0.0.0.0'` means all addresses of the host: everyone who can reach the host can connect. To answer connections that don't
   * come from the host's 127.0.0.1, a guest needs a gateway, which DHCP announces if the adapter is `outbound`.
   */
  readonly hostAddress?: string | undefined
}

/** What an adapter is connected to. */
export type AdapterNetwork =
  /** A network of the adapter's own, with DHCP, through which the host answers for the guest. It needs no rights on the host. */
  | 'user'
  | {
      /**
       * The name of a private network, 1 to 64 characters. VMs in one directory of one computer that name the same network reach each
       * other there, and nothing else: neither the host nor what is outside. There is no DHCP: the guests set their own addresses, as by
       * `cloudInit.networkConfig`. **Other users of the computer can listen in and take part**: it is not for secrets.
       */
      readonly private: string
    }
  | {
      /**
       * A bridge of the host, `'br0'`, with what is on it. The host has to allow it: on QEMU, by its `qemu-bridge-helper` and a line
       * `allow br0` in `/etc/qemu/bridge.conf`.
       */
      readonly bridge: string
    }
  | {
      /**
       * A network that the host manages, by its name there, `'default'`; of libvirt only. Who is on it, what it reaches and whether
       * there is DHCP is up to the host. It must be active when the VM starts.
       */
      readonly hostNetwork: string
    }

/**
 * A network adapter.
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
  /** Six bytes in hexadecimal, `52:54:00:12:34:56`. If absent, the host generates one, which the VM keeps. A clone gets another. */
  readonly macAddress?: string | undefined
  /** `'user'` if absent. `outbound` and `portForwards` are of this one only. */
  readonly network?: AdapterNetwork | undefined
  /**
   * Whether the guest may open connections, with `network: 'user'`. If absent or `false`, it can't reach anything, neither on the host
   * nor outside; it can still answer connections from `portForwards`. With `true`, it reaches everything that the host reaches, **including
   * services that listen on the host's own 127.0.0.1**, at the address of its gateway (10.0.2.2): QEMU can't separate the two.
   */
  readonly outbound?: boolean | undefined
  /** With `network: 'user'`: without any, the guest can't be reached. */
  readonly portForwards?: readonly PortForward[] | undefined
}

/** The settings of a VM, as its host reports them. */
export interface VmConfig {
  /** Unique on its host. */
  readonly name: string
  /** Any text; may be empty. */
  readonly description: string
  /** Absent if the VM has none. */
  readonly labels?: VmLabels | undefined
  /** Virtual processors. */
  readonly cpus: number
  /** Memory in MiB. */
  readonly memoryMiB: number
  /** In the order of the drives. */
  readonly disks: readonly DiskConfig[]
  /** In the order of the drives, with those that are empty. */
  readonly cdroms: readonly CdromConfig[]
  /** In the order of the drives, with those that are empty. */
  readonly floppies: readonly MediaConfig[]
  /** What the VM boots. */
  readonly boot: BootConfig
  /** The processors of the guest. Absent on hosts with one architecture only. */
  readonly architecture?: GuestArchitecture | undefined
  /** The machine that is emulated. Absent on hosts with one machine only, and with the architecture `'aarch64'`. */
  readonly machine?: MachineType | undefined
  /** Settings of this kind of host. Absent if there are none. */
  readonly native?: NativeSettings | undefined
  /** Whether the machine has a TPM. Absent if it has none. */
  readonly tpm?: boolean | undefined
  /** With what the host decided if nothing was asked for. Absent if the host does not tell. */
  readonly networkAdapters?: readonly NetworkAdapterConfig[] | undefined
  /** The folders of the host that the guest sees. Absent if there are none. */
  readonly shares?: readonly ShareConfig[] | undefined
  /** How `vm.guest` gets into the guest. Absent if it is the host's own way. */
  readonly guest?: GuestAccess | undefined
  /** The seed for cloud-init, without what may be secret in it. Absent if the VM has none. */
  readonly cloudInit?: CloudInitConfig | undefined
  /** Whether the VM ends with the connection that made it. Absent if it is kept. */
  readonly ephemeral?: boolean | undefined
  /** When the VM was made. Absent if the host does not tell. */
  readonly createdAt?: Date | undefined
}
