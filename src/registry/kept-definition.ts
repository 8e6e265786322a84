import { randomUUID } from 'node:crypto'
import * as v from 'valibot'
import { imageRecordSchema } from '../files/image-record.js'
import { keptGuestAccess } from '../model/guest-access.js'
import { labelsSchema } from '../model/vm-labels.js'
import { adapterNetworkSchema, hostAddressSchema, macAddressSchema } from '../model/network-adapter.js'
import { portSchema, type Complete, type EntriesOf } from '../model/schema.js'
import type {
  BootConfig,
  CdromConfig,
  DiskConfig,
  MediaConfig,
  NetworkAdapterConfig,
  PortForward,
  VmConfig,
} from '../model/vm-config.js'
import { cdromBusSchema, diskBusSchema, type VmChanges, type VmSpec } from '../model/vm-spec.js'
import type { VmState } from '../model/vm-state.js'
import { shownAdapters, type KeptAdapter, type KeptForward } from '../network/kept-adapter.js'
import { isTree } from './kept-snapshots.js'
import { parseIdentity } from './process-identity.js'

/*
 * How a VM is kept in a directory. Each host builds its schema from these entries and its own. The schemas are strict: a key that
 * they don't know was written by a newer awaitvm, and the next change would drop it.
 *
 * A new setting needs a new entry here. If an entry gets another meaning or another type, raise `format`.
 */

/** Settings that are not hardware. They can be changed in any state. */
type DetailConfig = Pick<VmConfig, 'name' | 'description' | 'labels' | 'guest'>
type HardwareConfig = Required<Omit<VmConfig, keyof DetailConfig | OfSomeHosts | 'ephemeral' | 'createdAt'>>
/** Settings of some hosts, which keep them in ways of their own. */
type OfSomeHosts = 'cloudInit' | 'architecture' | 'machine' | 'native' | 'shares' | 'tpm'

/** The type with all of its parts readonly. */
export type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T

const text = v.string()
const optionalText = v.optional(text)
const uuid = v.pipe(text, v.uuid())
const timestamp = v.pipe(text, v.isoTimestamp())

/** A disk. In a snapshot, the disk has the same id and a file of its own. */
export const keptDisk = {
  id: uuid,
  image: optionalText,
  sizeMiB: v.optional(v.number()),
  bus: v.optional(diskBusSchema),
} satisfies EntriesOf<DiskConfig>

const keptMedium = { image: optionalText } satisfies EntriesOf<MediaConfig>
const keptCdrom = { image: optionalText, bus: v.optional(cdromBusSchema) } satisfies EntriesOf<CdromConfig>

const keptForward = {
  guestPort: portSchema,
  hostPort: v.optional(portSchema),
  protocol: v.picklist(['tcp', 'udp']),
  hostAddress: hostAddressSchema,
  foundHostPort: v.optional(portSchema),
} satisfies EntriesOf<PortForward> & EntriesOf<KeptForward>

const keptAdapter = {
  macAddress: macAddressSchema,
  /** Absent in VMs of an older awaitvm. */
  network: v.optional(adapterNetworkSchema, 'user'),
  outbound: v.boolean(),
  portForwards: v.array(v.strictObject(keptForward)),
} satisfies EntriesOf<NetworkAdapterConfig> & EntriesOf<KeptAdapter>

const keptBoot = {
  kernel: optionalText,
  initrd: optionalText,
  commandLine: optionalText,
  firmware: optionalText,
  secureBoot: v.optional(v.boolean()),
  videoFirmware: optionalText,
  order: v.optional(v.array(v.picklist(['disk', 'cdrom', 'floppy']))),
} satisfies EntriesOf<BootConfig>

/** All hardware but the disks: each host has files of its own kind for them. */
export const keptHardware = {
  cpus: v.number(),
  memoryMiB: v.number(),
  cdroms: v.array(v.strictObject(keptCdrom)),
  floppies: v.array(v.strictObject(keptMedium)),
  boot: v.strictObject(keptBoot),
  networkAdapters: v.array(v.strictObject(keptAdapter)),
  images: imageRecordSchema,
} satisfies EntriesOf<Omit<HardwareConfig, 'disks'>> & Record<'images', unknown>

/** Saved memory, without the name of its file. */
export const keptMemory = {
  /** Whether the machine was paused: it stays so when it is resumed. */
  isPaused: v.boolean(),
  /** Drives whose media were changed since: the guest is told when it is resumed. */
  changedDrives: v.optional(v.array(v.pipe(text, v.regex(/^(?:cdrom|floppy)\d$/)))),
}

/** A snapshot, without its hardware and its memory. */
export const keptSnapshot = {
  id: uuid,
  name: text,
  description: text,
  createdAt: timestamp,
  parentId: optionalText,
}

const format = 1

/** A VM, without its hardware, its memory and its snapshots. */
export const keptVm = {
  format: v.literal(format),
  id: uuid,
  name: text,
  description: text,
  labels: v.optional(labelsSchema),
  guest: v.optional(keptGuestAccess),
  /** The connection that an ephemeral VM ends with. */
  owner: v.optional(
    v.pipe(
      text,
      v.check((owner) => parseIdentity(owner) !== undefined, 'it is not an owner'),
    ),
  ),
  createdAt: timestamp,
  hasCrashed: v.optional(v.boolean()),
  currentSnapshot: optionalText,
} satisfies EntriesOf<DetailConfig> & Record<string, unknown>

export const keptSnapshots = <
  S extends v.GenericSchema<unknown, { readonly id: string; readonly parentId?: string | undefined }>,
>(
  snapshot: S,
) =>
  v.pipe(
    v.array(snapshot),
    v.check((snapshots) => isTree(snapshots), 'they are not a tree'),
  )

type Kept<E extends v.ObjectEntries> = Frozen<v.InferOutput<v.StrictObjectSchema<E, undefined>>>

/** The hardware that all hosts keep. */
export interface KeptHardware<D extends DiskConfig = DiskConfig> extends Kept<typeof keptHardware> {
  readonly disks: readonly D[]
}

/** The part of a definition that all hosts keep. */
export interface KeptVm<H extends KeptHardware = KeptHardware> extends Kept<typeof keptVm> {
  readonly hardware: H
  /** The saved memory of a suspended VM. */
  readonly memory?: Kept<typeof keptMemory> | undefined
}

type Details = DetailConfig & Pick<KeptVm, 'owner'>

/**
 * The definition of a new VM.
 *
 * @param connection the owner of ephemeral VMs
 */
export const newDefinition = <H extends KeptHardware>(
  spec: Pick<VmSpec, keyof DetailConfig | 'ephemeral'>,
  hardware: H,
  connection: string,
): Omit<KeptVm<H>, 'memory'> & { readonly snapshots: readonly never[] } => ({
  format,
  id: randomUUID(),
  ...keepDetails(spec, { name: spec.name, description: '' }, connection),
  createdAt: new Date().toISOString(),
  hardware,
  snapshots: [],
})

/**
 * Applies an edit to the settings that are not hardware. A setting that it does not name stays as it is.
 *
 * @param connection the owner of VMs that it makes ephemeral
 */
export const keepDetails = (
  changes: VmChanges,
  { name, description, labels, guest, owner }: Details,
  connection: string,
): Details => ({
  name: changes.name ?? name,
  description: changes.description ?? description,
  labels: changes.labels ?? labels,
  guest: changes.guest ?? guest,
  owner: changes.ephemeral === undefined ? owner : changes.ephemeral ? connection : undefined,
})

type OptionalDetails = Pick<VmConfig, 'labels' | 'guest' | 'ephemeral'>

/** The details that a VM need not have, without those that it has not. */
const withOptional = ({ labels = {}, guest, owner }: Omit<Details, 'name' | 'description'>): OptionalDetails => ({
  ...(Object.keys(labels).length > 0 && { labels }),
  ...(guest !== undefined && { guest }),
  ...(owner !== undefined && { ephemeral: true }),
})

/** The state of a VM that no machine runs. */
export const stateAtRest = ({ memory, hasCrashed }: Pick<KeptVm, 'memory' | 'hasCrashed'>): AtRest =>
  memory !== undefined ? 'suspended' : hasCrashed === true ? 'crashed' : 'stopped'

type AtRest = Extract<VmState, 'suspended' | 'crashed' | 'stopped'>

/** The definition without saved memory and without the mark of a crash. */
export function withoutRest<D extends KeptVm>({
  memory: _memory,
  hasCrashed: _hasCrashed,
  ...definition
}: D): Omit<D, 'memory' | 'hasCrashed'> {
  return definition
}

const shownDisk = v.object(keptDisk)

/**
 * The settings as users see them: without the host's own data.
 *
 * @param isRunning whether to show the ports that were found for forwards without one
 */
export function configOf(
  { name, description, labels, guest, owner, createdAt, hardware }: KeptVm,
  isRunning: boolean,
): Complete<Omit<VmConfig, keyof OptionalDetails | OfSomeHosts>> & OptionalDetails {
  return {
    name,
    description,
    cpus: hardware.cpus,
    memoryMiB: hardware.memoryMiB,
    disks: hardware.disks.map((disk) => v.parse(shownDisk, disk)),
    cdroms: hardware.cdroms,
    floppies: hardware.floppies,
    boot: hardware.boot,
    networkAdapters: shownAdapters(hardware.networkAdapters, isRunning),
    ...withOptional({ labels, guest, owner }),
    createdAt: new Date(createdAt),
  }
}
