import * as v from 'valibot'
import { isFirmware } from './boot-firmware.js'
import type { CloudInit } from './cloud-init.js'
import { cloudInitEditSchema, cloudInitSchema } from './cloud-init-schema.js'
import { guestAccessSchema, type GuestAccess } from './guest-access.js'
import { checksumEntries, checksumProblem, diskImageSchema, isUrl } from './image-source.js'
import { nativeSettingsSchema, type NativeSettings } from './native-settings.js'
import { networkAdaptersSchema } from './network-adapter.js'
import {
  areDistinct,
  flag,
  list,
  nonEmpty,
  object,
  optional,
  pathSchema,
  plainText,
  text,
  whole,
  type EntriesOf,
} from './schema.js'
import { sharesSchema, type ShareConfig } from './share.js'
import type {
  BootConfig,
  CdromConfig,
  DiskConfig,
  DiskSpec,
  GuestArchitecture,
  MachineType,
  MediaConfig,
  NetworkAdapterConfig,
} from './vm-config.js'
import { labelsSchema, type VmLabels } from './vm-labels.js'
import { vmStates, type VmState } from './vm-state.js'

/** The settings of a new VM. */
export interface VmSpec {
  /** 1 to 128 characters, unique on its host; no `/`, `\` or control characters, and neither `.` nor `..`. */
  readonly name: string
  /** Any text of at most 4096 characters; empty if absent. */
  readonly description?: string | undefined
  /**
   * Names and values of your own, for `server.getVmList({ labels })`; none if absent. At most 64. A name has 1 to 128 letters, digits,
   * `.`, `_`, `/` and `-`, with a letter or a digit at both ends; a value has at most 1024 characters, none of them a control character.
   * An edit replaces all labels of the VM. Its clones have them, too; its snapshots don't.
   */
  readonly labels?: VmLabels | undefined
  /** Virtual processors; 1 if absent. */
  readonly cpus?: number | undefined
  /** Memory in MiB; the host's default if absent. */
  readonly memoryMiB?: number | undefined
  /** At most 64, in the order of the drives; none if absent. */
  readonly disks?: readonly DiskSpec[] | undefined
  /** The CD-ROM drives, with images or empty: `[{}]` is one empty drive. None if absent; Parallels then has an empty one. */
  readonly cdroms?: readonly CdromConfig[] | undefined
  /** The floppy drives, with images or empty; none if absent. */
  readonly floppies?: readonly MediaConfig[] | undefined
  /** What the VM boots; if absent, its drives in turn, or the host's small built-in guest. */
  readonly boot?: BootConfig | undefined
  /**
   * The processors of the guest; of QEMU only. `'x86_64'` if absent, on every host. The other architecture than the computer's own is
   * emulated, which is some ten times slower. It stays with the VM: an edit can't change it.
   *
   * An `'aarch64'` VM is QEMU's machine `virt`: its console is `ttyAMA0`, its disks are `'virtio'` or `'scsi'`, and its firmware is
   * `'uefi'`, also if `boot` names none. It has no floppy drive.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await server
   *   .createVm({ name: 'arm-1', architecture: 'aarch64', disks: [{ image: '/images/debian-12-arm64.qcow2' }] })
   *   .unwrap()
   * ```
   */
  readonly architecture?: GuestArchitecture | undefined
  /**
   * The machine that QEMU emulates; of QEMU with the architecture `'x86_64'` only. `'q35'` if absent. `'pc'` is for systems that know
   * no SATA. The exact version, such as `pc-q35-7.2`, is that of the QEMU that makes the VM, and stays with it. It can be changed while
   * the VM is stopped.
   */
  readonly machine?: MachineType | undefined
  /** Settings of one kind of host that awaitvm does not model; others refuse them. An edit replaces all of them. */
  readonly native?: NativeSettings | undefined
  /**
   * `true`: the machine has a TPM 2.0 with keys of its own; of QEMU only, where the program swtpm is it. Its state is kept with the VM. A
   * snapshot has it as it was then, **and a clone has a copy of it**, with the same keys: what the guest has sealed, such as the key of a
   * disk, opens in the clone, too, and both can pass for one another. An edit to `false` deletes the state, and `true` after that makes
   * a new one. It can be changed while the VM is stopped. Absent or `false`: no TPM.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * const vm = await server
   *   .createVm({ name: 'web-1', disks: [{ image: '/images/debian.qcow2' }], boot: { firmware: 'uefi' }, tpm: true })
   *   .unwrap()
   * await vm.start().unwrap()
   * ```
   */
  readonly tpm?: boolean | undefined
  /** At most 8; none if absent, unless the host has a default of its own. */
  readonly networkAdapters?: readonly NetworkAdapterConfig[] | undefined
  /**
   * Folders of the host that the guest sees; none if absent. At most 8. An edit replaces all of them, while the VM is stopped. Snapshots
   * and clones have the same. awaitvm never deletes anything in them.
   */
  readonly shares?: readonly ShareConfig[] | undefined
  /** How `vm.guest` gets into the guest; in the host's own way if absent. */
  readonly guest?: GuestAccess | undefined
  /** What cloud-init does at the first boot of the guest; the VM gets no seed if absent. */
  readonly cloudInit?: CloudInit | undefined
  /**
   * `true`: the VM ends with the connection that made it, or that set this by an edit. `server.close()` takes its power away and
   * deletes it. If the process ends without a close, even by `kill -9`, the next connection to the directory does that. An edit to
   * `false` keeps the VM. Its clones are ephemeral only if `vm.clone()` is told so. It can be neither unregistered nor migrated.
   * Absent or `false`: the VM is kept.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await using vm = await server.createVm({ name: 'ci-1', memoryMiB: 512, ephemeral: true }).unwrap()
   * await vm.start().unwrap()
   * // At the end of the scope, the VM is gone.
   * ```
   */
  readonly ephemeral?: boolean | undefined
}

/** Changes to the settings of a VM. A setting that is absent stays as it is. */
export interface VmChanges extends Partial<Omit<VmSpec, 'name' | 'disks' | 'cloudInit'>> {
  /** As in `VmSpec`. */
  readonly name?: string | undefined
  /**
   * All disks that the VM shall have, in the order of its drives. A disk with an `id` is kept with its content: its `sizeMiB` may
   * grow but not shrink, and its `image` can't be changed. A disk without an `id` is created. If a disk of the VM is neither here
   * nor in `deleteDisks`, the edit fails: leaving a disk out deletes nothing.
   */
  readonly disks?: readonly (DiskSpec | DiskConfig)[] | undefined
  /** Ids of disks to delete with their content. Snapshots that have these disks keep them. */
  readonly deleteDisks?: readonly string[] | undefined
  /**
   * `false` takes the seed away, which has no use after the first boot. Other settings replace it by a seed with a new instance id,
   * for which cloud-init does all that it does at a first boot again.
   */
  readonly cloudInit?: CloudInit | false | undefined
}

/** Which VMs `server.getVmList()` lists: those that match all of it. */
export interface VmFilter {
  /** Only the VM of this name. */
  readonly name?: string | undefined
  /** Only VMs in this state. */
  readonly state?: VmState | undefined
  /** Only VMs that have all of these labels, with these values: `{ job: '4711' }`. */
  readonly labels?: VmLabels | undefined
}

/** The longest name that every host of awaitvm takes: a file name of 255 bytes, at most 2 bytes of it awaitvm's own. */
const maxNameLength = 128
const maxDescriptionLength = 4096
const maxDisks = 64
/** On some hosts, ids are file names. */
const maxDiskIdLength = 255
/** 4 PiB: no host takes more, and the number of bytes can be represented exactly. */
const maxMiB = 2 ** 32

const isForbiddenInName = (character: string): boolean => {
  const code = character.charCodeAt(0)
  return code < 0x20 || code === 0x7f || character === '/' || character === '\\'
}

const mebibytes = whole(maxMiB)

export const vmNameSchema = v.pipe(
  text,
  v.check((name) => name.trim() !== '', 'must not be empty'),
  v.check((name) => name.length <= maxNameLength, `must have at most ${String(maxNameLength)} characters`),
  v.check((name) => !Array.from(name).some(isForbiddenInName), 'must not contain "/", "\\" or control characters'),
  v.check((name) => name !== '.' && name !== '..', 'must not be "." or ".."'),
  v.check((name) => !/\p{Surrogate}/u.test(name), 'must be well-formed Unicode'),
)

export const descriptionSchema = v.pipe(
  text,
  v.maxLength(maxDescriptionLength, `must have at most ${String(maxDescriptionLength)} characters`),
)

const firmwareSchema = v.pipe(
  plainText,
  v.check(isFirmware, 'must be "bios", "uefi" or an absolute path: use path.resolve()'),
)

const architectureSchema = v.picklist(['x86_64', 'aarch64'], 'must be "x86_64" or "aarch64"')
const machineSchema = v.picklist(['q35', 'pc'], 'must be "q35" or "pc"')
export const diskBusSchema = v.picklist(['virtio', 'scsi', 'sata', 'ide'], 'must be "virtio", "scsi", "sata" or "ide"')
export const cdromBusSchema = v.picklist(['scsi', 'sata', 'ide'], 'must be "scsi", "sata" or "ide"')

const diskSettings = {
  image: optional(diskImageSchema),
  sizeMiB: optional(mebibytes),
  bus: optional(diskBusSchema),
  ...checksumEntries,
} satisfies EntriesOf<Omit<DiskSpec, 'id'>>
const diskId = v.pipe(nonEmpty, v.maxLength(maxDiskIdLength, 'is not the id of a disk'))

/** What is wrong with the checksums of a disk's image, after the disk's path; `undefined` if nothing is. */
const checksumsOf = ({ image, ...checksums }: Omit<DiskSpec, 'id'>): string | undefined =>
  checksumProblem(image !== undefined && isUrl(image), checksums)

const withChecksum = <D extends Omit<DiskSpec, 'id'>>() =>
  v.check<D, (issue: v.CheckIssue<D>) => string>(
    (disk) => checksumsOf(disk) === undefined,
    ({ input }) => checksumsOf(input) ?? '',
  )

const newDisk = v.pipe(
  object({ id: v.optional(v.undefined('must be absent, since the host gives it')), ...diskSettings }),
  v.check(
    ({ image, sizeMiB }) => image !== undefined || sizeMiB !== undefined,
    'must have an image, a sizeMiB or both',
  ),
  withChecksum(),
)
const editedDisk = v.pipe(
  object({ id: optional(diskId), ...diskSettings }),
  v.check(
    ({ id, image, sizeMiB }) => id !== undefined || image !== undefined || sizeMiB !== undefined,
    'must have an id, an image or a sizeMiB',
  ),
  withChecksum(),
)
const media = object({ image: optional(pathSchema) } satisfies EntriesOf<MediaConfig>)
const cdrom = object({ image: optional(pathSchema), bus: optional(cdromBusSchema) } satisfies EntriesOf<CdromConfig>)

const boot = v.pipe(
  object({
    kernel: optional(pathSchema),
    initrd: optional(pathSchema),
    commandLine: optional(plainText),
    // Before `firmware`, so that a host that has neither names this one.
    secureBoot: flag,
    firmware: optional(firmwareSchema),
    videoFirmware: optional(pathSchema),
    order: optional(list(v.picklist(['disk', 'cdrom', 'floppy'], 'must be "disk", "cdrom" or "floppy"'), 3)),
  } satisfies EntriesOf<BootConfig>),
  v.check(
    ({ kernel, initrd, commandLine }) => kernel !== undefined || (initrd === undefined && commandLine === undefined),
    'has an initrd or a commandLine without a kernel',
  ),
  v.check(
    ({ kernel, firmware, videoFirmware }) =>
      kernel === undefined || (firmware === undefined && videoFirmware === undefined),
    'has both a kernel and a firmware, and a kernel is booted without one',
  ),
  v.check(
    ({ firmware, secureBoot }) => secureBoot !== true || firmware === 'uefi',
    'has secureBoot without firmware: "uefi", by which the host finds a UEFI that has the keys',
  ),
)

const settings = {
  description: optional(descriptionSchema),
  labels: optional(labelsSchema),
  cpus: optional(whole(1024)),
  memoryMiB: optional(mebibytes),
  cdroms: optional(list(cdrom, 64)),
  floppies: optional(list(media, 64)),
  boot: optional(boot),
  architecture: optional(architectureSchema),
  machine: optional(machineSchema),
  native: optional(nativeSettingsSchema),
  tpm: flag,
  networkAdapters: optional(networkAdaptersSchema),
  shares: optional(sharesSchema),
  guest: optional(guestAccessSchema),
  ephemeral: flag,
} satisfies EntriesOf<Omit<VmSpec, 'name' | 'disks' | 'cloudInit'>>

export const vmSpecSchema = object({
  name: vmNameSchema,
  disks: optional(list(newDisk, maxDisks)),
  cloudInit: optional(cloudInitSchema),
  ...settings,
} satisfies EntriesOf<VmSpec>)
export const vmChangesSchema = v.pipe(
  object({
    name: optional(vmNameSchema),
    disks: optional(
      v.pipe(
        list(editedDisk, maxDisks),
        v.check((disks) => areDistinct(disks.flatMap(({ id }) => id ?? [])), 'must not have the same id twice'),
      ),
    ),
    deleteDisks: optional(
      v.pipe(
        list(diskId, maxDisks),
        v.check((ids) => areDistinct(ids), 'must not have the same id twice'),
      ),
    ),
    cloudInit: optional(cloudInitEditSchema),
    ...settings,
  } satisfies EntriesOf<VmChanges>),
  v.forward(
    v.check(
      ({ disks = [], deleteDisks = [] }) => !disks.some(({ id }) => id !== undefined && deleteDisks.includes(id)),
      'must not have the id of a disk that disks keeps',
    ),
    ['deleteDisks'],
  ),
)
export const vmFilterEntries = {
  name: optional(text),
  state: optional(v.picklist(vmStates, `must be one of ${vmStates.join(', ')}`)),
  labels: optional(labelsSchema),
}
