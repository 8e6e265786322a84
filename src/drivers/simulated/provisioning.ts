import { refuseSettings, unsupported, type HandledSettings } from '../../driver/settings.js'
import { InvalidArgumentError } from '../../errors.js'
import { requireImages, type ImageRecord, type ImageUse, type RecordedImages } from '../../files/image-record.js'
import type { VmState } from '../../model/vm-state.js'
import { invalidState } from '../../errors/state.js'
import type { Complete } from '../../model/schema.js'
import type { DiskConfig, VmConfig } from '../../model/vm-config.js'
import { reachOf } from '../../model/vm-changes.js'
import { withShares } from '../../model/share.js'
import type { VmLabels } from '../../model/vm-labels.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { keepAdapters, shownAdapters, type KeptAdapter } from '../../network/kept-adapter.js'
import { keepDisks } from '../../registry/keep-hardware.js'
import { namesFiles, recordFiles } from './boot-files.js'
import { seedOf } from './seed.js'
import { newDisk, type VmContent } from './simulated-vm.js'

/** The default of lists. It is frozen, and all VMs share it. */
const none: readonly never[] = Object.freeze([])
const noBoot: VmConfig['boot'] = Object.freeze({})
const usualMemoryMiB = 512

/** The largest hardware of a VM. */
const limits = { cpus: 256, memoryMiB: 2 ** 24, floppies: 2 } as const

/** The settings without those that are `undefined`. */
const given = <T extends object>(settings: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never

/** The ids and addresses that a host makes up. */
export interface Inventions {
  readonly newDiskId: () => string
  readonly newInstanceId: () => string
  readonly newMacAddress: () => string
}

const fetchesNothing = unsupported({
  reason: 'the simulated host fetches no images',
  hint: 'Name a file, and leave the checksum out.',
})
const handled: HandledSettings = {
  name: true,
  description: true,
  labels: true,
  ephemeral: true,
  cpus: true,
  memoryMiB: true,
  disks: { id: true, image: true, sha256: fetchesNothing, sha512: fetchesNothing, sizeMiB: true, bus: true },
  deleteDisks: true,
  cdroms: { image: true, bus: true },
  floppies: { image: true },
  boot: {
    kernel: true,
    initrd: true,
    commandLine: true,
    secureBoot: true,
    firmware: true,
    videoFirmware: true,
    order: true,
  },
  architecture: true,
  machine: true,
  native: { arguments: unsupported({ reason: 'it runs no program', hint: 'Leave it out.' }) },
  tpm: true,
  networkAdapters: {
    macAddress: true,
    network: true,
    outbound: true,
    portForwards: { guestPort: true, hostPort: true, protocol: true, hostAddress: true },
  },
  cloudInit: true,
  shares: { path: true, tag: true, readOnly: true, type: true },
  guest: {
    way: unsupported({
      values: ['none'],
      reason: 'only the embedded host puts a program of its own into guests',
      hint: 'Leave spec.guest out.',
    }),
    user: true,
    privateKeyFile: true,
    host: true,
    port: true,
    hostKey: true,
  },
}

const withLabels = (labels: VmLabels = {}): Pick<VmConfig, 'labels'> =>
  Object.keys(labels).length === 0 ? {} : { labels }

export const withEphemeral = (isEphemeral = false): Pick<VmConfig, 'ephemeral'> =>
  isEphemeral ? { ephemeral: true } : {}

const withTpm = (hasTpm = false): Pick<VmConfig, 'tpm'> => (hasTpm ? { tpm: true } : {})

/** Settings that a VM may lack. */
type OfSome = 'labels' | 'guest' | 'cloudInit' | 'architecture' | 'machine' | 'native' | 'shares' | 'tpm' | 'ephemeral'

/** The settings of a new VM, except the time of its creation. */
export function configOf(
  spec: VmSpec,
  { newDiskId, newInstanceId }: Pick<Inventions, 'newDiskId' | 'newInstanceId'>,
): Complete<Omit<VmConfig, 'createdAt' | OfSome>> & Pick<VmConfig, OfSome> {
  refuseSettings(spec, handled, { driver: 'simulated', root: 'spec' })
  const { name, description = '', cpus = 1, memoryMiB = usualMemoryMiB, labels, guest, architecture, machine } = spec
  const { disks = none, cdroms = none, floppies = none, boot = noBoot, networkAdapters = none } = spec
  const withIds = disks.length === 0 ? none : disks.map((disk): DiskConfig => ({ ...disk, id: newDiskId() }))
  return {
    name,
    description,
    cpus,
    memoryMiB,
    disks: withIds,
    cdroms,
    floppies,
    boot,
    networkAdapters,
    ...withLabels(labels),
    ...(architecture && { architecture }),
    ...(machine && { machine }),
    ...withShares(spec.shares),
    ...withTpm(spec.tpm),
    ...withEphemeral(spec.ephemeral),
    ...(guest && { guest }),
    ...seedOf(spec, name, undefined, newInstanceId),
  }
}

type Files = 'local' | 'assumed'

/**
 * Throws if the VM is too large for the host, or one of its files is missing. Resolves to the record of its files; returns
 * `undefined` if it has none.
 */
export function checkConfig(
  config: VmConfig,
  present: VmContent | undefined,
  root: string,
  files: Files,
): Promise<ImageRecord> | undefined {
  for (const key of ['cpus', 'memoryMiB'] as const) {
    if (config[key] > limits[key]) throw tooMuch(`${root}.${key}`, limits[key], config[key])
  }
  if (config.floppies.length > limits.floppies) {
    throw tooMuch(`${root}.floppies`, limits.floppies, config.floppies.length)
  }
  if (files !== 'local' || !namesFiles(config)) return undefined
  return recordFiles(config, present && recordOf(present), root)
}

/** Rejects unless the files of a VM are as recorded, as far as it matters for the use. Returns `undefined` if there is no record. */
export const checkFiles = (content: VmContent, use: ImageUse): Promise<ImageRecord> | undefined =>
  content.images === undefined ? undefined : requireImages(recordOf(content), use, 'simulated')

const recordOf = ({ config, images = {} }: VmContent): RecordedImages => ({ ...config, images })

const tooMuch = (path: string, most: number, found: number): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} must be at most ${String(most)} on this host, and there are ${String(found)}`,
  })

/** The content of a VM after an edit. */
export function edited(
  { config, disks, adapters, images, files }: VmContent,
  changes: VmChanges,
  { newDiskId, newMacAddress, newInstanceId }: Inventions,
): VmContent {
  refuseSettings(changes, handled, { driver: 'simulated', root: 'changes' })
  const {
    disks: wantedDisks,
    deleteDisks,
    networkAdapters: wanted,
    cloudInit: _seed,
    labels: wantedLabels,
    ephemeral: wantedEphemeral,
    shares: wantedShares,
    tpm: wantedTpm,
    ...settings
  } = changes
  const { cloudInit: seed, labels, ephemeral, shares, tpm, ...before } = config
  const kept = keepDisks({ disks: wantedDisks, deleteDisks }, config.disks, (disk) => ({ ...disk, id: newDiskId() }))
  return withAdapters(
    {
      config: {
        ...before,
        ...given(settings),
        ...withLabels(wantedLabels ?? labels),
        ...withTpm(wantedTpm ?? tpm),
        ...withEphemeral(wantedEphemeral ?? ephemeral),
        ...withShares(wantedShares ?? shares),
        ...seedOf(changes, changes.name ?? config.name, seed, newInstanceId),
        disks: kept,
      },
      disks: kept.map((disk) => ({
        ...(disks.find(({ config: { id } }) => id === disk.id) ?? newDisk(disk)),
        config: disk,
      })),
      images,
      files,
    },
    wanted === undefined ? adapters : keepAdapters(wanted, adapters, newMacAddress),
  )
}

/** The content of a clone, whose disks have ids of their own. */
export function withNewDiskIds<C extends Pick<VmContent, 'config' | 'disks'>>(content: C, newDiskId: () => string): C {
  if (content.disks.length === 0) return content
  const disks = content.disks.map((disk) => ({ ...disk, config: { ...disk.config, id: newDiskId() } }))
  return { ...content, disks, config: { ...content.config, disks: disks.map(({ config }) => config) } }
}

/** The content with these adapters. Its settings show them as those of a VM that does not run. */
export function withAdapters<C extends Pick<VmContent, 'config'>>(
  content: C,
  adapters: readonly KeptAdapter[],
): C & Pick<VmContent, 'adapters'> {
  const networkAdapters = adapters.length === 0 ? none : shownAdapters(adapters, false)
  return { ...content, config: { ...content.config, networkAdapters }, adapters }
}

/** Throws if these settings can't be changed in this state. */
export function requireHardwareMayChange(state: VmState, changes: VmChanges, isLiveEditPossible: boolean): void {
  const reach = reachOf(changes)
  if (reach === 'details' || (reach === 'media' && state === 'suspended')) return
  const possible: readonly VmState[] = isLiveEditPossible
    ? ['stopped', 'running', 'paused', 'crashed']
    : ['stopped', 'crashed']
  if (!possible.includes(state)) throw invalidState(state, possible)
}
