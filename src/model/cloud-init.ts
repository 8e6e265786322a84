/** A user that cloud-init makes in the guest. */
export interface CloudInitUser {
  /** 1 to 32 letters, digits, `_`, `.` and `-`; it begins with a letter or `_`. */
  readonly name: string
  /** Whether the user may run everything as root with `sudo`, without a password. */
  readonly sudo?: boolean | undefined
  /** Public keys that the user may log in with by SSH, each as in a `.pub` file: `ssh-ed25519 AAAA… ci@host`. */
  readonly sshKeys?: readonly string[] | undefined
  /** The hash of a password, as `openssl passwd -6` prints it. Without one, the user can't log in with a password. */
  readonly passwordHash?: string | undefined
  /** Absolute path of the login shell; that of the guest's `useradd` if absent. */
  readonly shell?: string | undefined
  /** Further groups of the user, such as `docker`. */
  readonly groups?: readonly string[] | undefined
}

/** A file that cloud-init writes in the guest. */
export interface CloudInitFile {
  /** Absolute path in the guest. Missing folders are created. */
  readonly path: string
  /** Any text; at most 1 MiB. */
  readonly content: string
  /** How `content` is to be read: as text, or as base64 for bytes; `'utf8'` if absent. */
  readonly encoding?: 'utf8' | 'base64' | undefined
  /** `USER` or `USER:GROUP`; `root:root` if absent. The user may be one of `users`. */
  readonly owner?: string | undefined
  /** In octal: `'0600'`; `'0644'` if absent. */
  readonly permissions?: string | undefined
}

/** User data as cloud-init takes it: text that says in its first line what it is, or an object, which is a cloud config. */
export type CloudInitData = string | Readonly<Record<string, unknown>>

/**
 * What cloud-init does at the first boot of a guest, in which it must be installed, as in the cloud images of all distributions. The
 * VM gets a read-only drive with it (a NoCloud seed, which is labelled `cidata`).
 *
 * The seed may have secrets. It is kept with the VM, readable for your user only, and root can read the drive in the guest;
 * `vm.config` shows the host name and the instance id only.
 *
 * **With both structured keys and `userData`**, cloud-init merges them: lists are joined, with those of the structured keys first; of
 * anything else, the structured key counts. So it goes on for the further parts of `userData`.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('qmp:///srv/vms').unwrap()
 * const vm = await server
 *   .createVm({
 *     name: 'ci-1',
 *     memoryMiB: 1024,
 *     disks: [{ image: '/images/debian-12-generic-amd64.qcow2', sizeMiB: 20_480 }],
 *     networkAdapters: [{ outbound: true, portForwards: [{ guestPort: 22 }] }],
 *     cloudInit: {
 *       users: [{ name: 'ci', sudo: true, sshKeys: ['ssh-ed25519 AAAAC3Nz… ci@example.org'] }],
 *       packages: ['git', 'qemu-guest-agent'],
 *       userData: { write_files: [{ path: '/etc/motd', content: 'Made by awaitvm\n' }] },
 *     },
 *   })
 *   .unwrap()
 * await vm.start().unwrap()
 * await vm.guest.waitUntilReady({ timeoutMs: 300_000 }).unwrap()
 * // Nothing is left to do for it, and nobody can read it any more.
 * await vm.stop().unwrap()
 * await vm.edit({ cloudInit: false }).unwrap()
 * ```
 */
export interface CloudInit {
  /**
   * A host name, with or without a domain. If absent, the VM's name, with `-` for what a host name can't have. A host name that is
   * the VM's name follows the names of its clones. Images whose cloud-init does not write `/etc/hosts` give their guest no domain,
   * unless `userData` or `vendorData` has `manage_etc_hosts: true`.
   */
  readonly hostname?: string | undefined
  /** The users to make. `'default'` is the image's own, such as `debian`: it is made if it is listed here, or if the list is empty. */
  readonly users?: readonly ('default' | CloudInitUser)[] | undefined
  /** Packages to install, by the names of the guest's distribution. */
  readonly packages?: readonly string[] | undefined
  /** Whether to fetch the list of packages; this happens anyway if there are `packages`. */
  readonly packageUpdate?: boolean | undefined
  /** Whether to upgrade all packages. */
  readonly packageUpgrade?: boolean | undefined
  /** Files to write, in this order. */
  readonly files?: readonly CloudInitFile[] | undefined
  /** Commands to run as root at the end of the first boot: text for the shell, or a program with its arguments. */
  readonly runCommands?: readonly (string | readonly string[])[] | undefined
  /** `Europe/Berlin` */
  readonly timezone?: string | undefined
  /** `en_US.UTF-8` */
  readonly locale?: string | undefined
  /** What the other keys don't have, in cloud-init's own words, or several parts of it. A script begins with `#!`. */
  readonly userData?: CloudInitData | readonly CloudInitData[] | undefined
  /** As `userData`, which it gives way to. It is meant for those who make VMs for others. */
  readonly vendorData?: CloudInitData | readonly CloudInitData[] | undefined
  /** Further meta data. `instance-id` and `local-hostname` are awaitvm's. */
  readonly metaData?: Readonly<Record<string, unknown>> | undefined
  /** A network configuration of version 1 or 2, as an object or in YAML; DHCP on the first adapter if absent. */
  readonly networkConfig?: CloudInitData | undefined
}

/** What is shown of a VM's seed for cloud-init. */
export interface CloudInitConfig {
  /** The host name that the seed gives to the guest. */
  readonly hostname: string
  /** cloud-init runs once for each instance id. Each clone has another. */
  readonly instanceId: string
}
