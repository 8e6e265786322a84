import { isDeepStrictEqual } from 'node:util'
import { refuseSettings, unsupported, type HandledSettings } from '../../driver/settings.js'
import { InvalidArgumentError, NotSupportedError } from '../../errors.js'
import type { Complete } from '../../model/schema.js'
import type { DiskConfig, MediaConfig } from '../../model/vm-config.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { keepDisks } from '../../registry/keep-hardware.js'
import type { Transport } from './transport.js'
import type { OfOtherHosts, VmInfo } from './vm-info.js'

/** The arguments of one `prlctl set ID`, which applies all of them or none. */
export type SetCommand = readonly string[]

const installFromCdrom = 'Install a system from a CD-ROM image, or clone a VM that has one.'
const noKernel = unsupported({ reason: 'Parallels can not boot a kernel directly', hint: installFromCdrom })
const noImage = unsupported({
  reason: 'Parallels would write to the image itself, and does not read raw images',
  hint: installFromCdrom,
})
const ownFirmware = unsupported({
  reason: 'Parallels always uses its own firmware',
  hint: 'Leave spec.boot.firmware out.',
})

const ownMachine = unsupported({ reason: 'Parallels chooses machine and buses itself', hint: 'Leave it out.' })

const noQemu = unsupported({ reason: 'QEMU is not what runs its VMs', hint: 'Leave it out.' })

const handled = {
  name: true,
  description: true,
  labels: unsupported({
    reason: 'Parallels has no place for labels',
    hint: 'Leave spec.labels out, and tell VMs apart by spec.name or spec.description.',
  }),
  ephemeral: unsupported({
    values: [true],
    reason: 'Parallels keeps a VM whose process has died',
    hint: 'Leave spec.ephemeral out, and delete the VM with vm.delete({ force: true }).',
  }),
  cpus: true,
  memoryMiB: true,
  disks: {
    id: true,
    image: noImage,
    sha256: noImage,
    sha512: noImage,
    sizeMiB: true,
    bus: ownMachine,
  },
  deleteDisks: true,
  cdroms: { image: true, bus: ownMachine },
  floppies: unsupported({ reason: 'this driver offers no floppy drive', hint: 'Use a CD-ROM image.' }),
  boot: {
    kernel: noKernel,
    initrd: noKernel,
    commandLine: noKernel,
    secureBoot: unsupported({
      values: [true],
      reason: 'Parallels always uses its own firmware',
      hint: 'Leave spec.boot.secureBoot out.',
    }),
    firmware: ownFirmware,
    videoFirmware: ownFirmware,
    order: unsupported({
      values: ['floppy'],
      reason: 'this driver offers no floppy drive',
      hint: 'Use "disk" and "cdrom".',
    }),
  },
  architecture: ownMachine,
  machine: ownMachine,
  native: { arguments: noQemu },
  tpm: unsupported({
    values: [true],
    reason: 'this driver offers no TPM of Parallels',
    hint: 'Leave spec.tpm out, and add the TPM in Parallels Desktop.',
  }),
  networkAdapters: unsupported({
    reason: 'this driver does not offer the networks of Parallels',
    hint: 'Leave it out: the VM gets the default adapter of Parallels, which prlctl set --device-set net0 can change.',
    refusesEmptyList: true,
  }),
  cloudInit: unsupported({
    reason: 'this driver gives Parallels no seed',
    hint: 'Leave spec.cloudInit out, and set the guest up with vm.guest when it is ready.',
  }),
  shares: unsupported({
    reason: 'this driver does not offer the shared folders of Parallels',
    hint: 'Leave it out, and use prlctl set --shf-host-add, or vm.guest.copyIn() and vm.guest.copyOut().',
  }),
  guest: unsupported({ reason: 'Parallels Tools are the way into its guests', hint: 'Leave spec.guest out.' }),
} satisfies HandledSettings

/** Throws if the settings ask for something that Parallels does not have. */
export const refuseUnsupported = (settings: VmSpec | VmChanges, root: 'spec' | 'changes'): void => {
  refuseSettings(settings, handled, { driver: 'parallels', root })
}

/** Throws if a CD-ROM image is not a file that the host can read. */
export async function requireImages({ cdroms = [] }: VmChanges, transport: Transport, root: string): Promise<void> {
  for (const [index, { image }] of cdroms.entries()) {
    if (image === undefined || (await transport.isReadableFile(image))) continue
    const path = `${root}.cdroms[${String(index)}].image`
    throw new InvalidArgumentError({
      path,
      reason: `${path} is ${image}, which is not a readable file on the host`,
    })
  }
}

/** The commands that give a new VM the settings of the spec; the last one sets its name. Throws if that can't be done. */
export function commandsToMake(spec: VmSpec, made: VmInfo): SetCommand[] {
  const { settings, devices, order, removals } = partsOf(spec, made)
  const { additions } = diskCommands(wantedDisks(spec, made), made, made)
  return [...additions, ...devices, ...removals, [...settings, ...order]].filter(isAny)
}

/**
 * The commands that finish an edit of a VM; those that can't be undone come last. Throws if that can't be done.
 * @param now the VM after a part of the edit
 */
export function commandsToEdit(changes: VmChanges, before: VmInfo, now = before): SetCommand[] {
  const { settings, devices, order, removals } = partsOf(changes, now)
  const disks = diskCommands(wantedDisks(changes, before), before, now)
  return [settings, ...disks.additions, ...devices, order, ...disks.growth, ...removals, ...disks.removals].filter(
    isAny,
  )
}

/** The commands that undo an edit, but for disks: a disk stays grown, and a removed one does not come back. */
export function commandsToPutBack(changes: VmChanges, before: VmInfo, now: VmInfo): SetCommand[] {
  const { name, description, cpus, memoryMiB, cdroms } = before.record.config
  const former: Complete<Omit<VmChanges, OfOtherHosts | 'disks' | 'deleteDisks' | 'floppies' | 'boot'>> = {
    name: changes.name && name,
    description: changes.description === undefined ? undefined : description,
    cpus: changes.cpus && cpus,
    memoryMiB: changes.memoryMiB && memoryMiB,
    cdroms: changes.cdroms && cdroms,
  }
  const { settings, devices, removals } = partsOf(former, now)
  const isReordered = changes.boot?.order !== undefined && before.bootOrder !== now.bootOrder
  const order = isReordered ? ['--device-bootorder', before.bootOrder] : []
  const made = removalsOf(now, ({ id }) => !hasDisk(before, id))
  return [...devices, order, ...removals, ...made, settings].filter(isAny)
}

/** The settings of an edit that differ from before. */
export function changedSettings(changes: VmChanges, before: VmInfo, now: VmInfo): string[] {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined)
  const named = new Set(given.map(([setting]) => (setting === 'deleteDisks' ? 'disks' : setting)))
  const present = new Map<string, unknown>(Object.entries(now.record.config))
  return Object.entries(before.record.config).flatMap(([setting, value]) =>
    named.has(setting) && !isDeepStrictEqual(value, present.get(setting)) ? setting : [],
  )
}

/** True if the commands change a setting for which the VM must be stopped. */
export const needStop = (commands: readonly SetCommand[]): boolean =>
  commands.some(([first, , ...others]) => first !== '--description' || others.length > 0)

const isAny = (command: SetCommand): boolean => command.length > 0

/** The commands of an edit, in the order in which they must run. */
interface Parts {
  readonly settings: SetCommand
  /** Devices that are added or changed, one command each. */
  readonly devices: readonly SetCommand[]
  readonly order: SetCommand
  readonly removals: readonly SetCommand[]
}

function partsOf({ name, description, cpus, memoryMiB, cdroms, boot }: VmChanges, now: VmInfo): Parts {
  const { config } = now.record
  const option = (flag: string, value: string | number | undefined, before: string | number): string[] =>
    value === undefined || value === before ? [] : [flag, String(value)]
  const cdrom = cdroms === undefined ? nothing : cdromCommands(cdroms, now)
  return {
    settings: [
      ...option('--name', name, config.name),
      ...option('--description', description, config.description),
      ...option('--cpus', cpus, config.cpus),
      ...option('--memsize', memoryMiB, config.memoryMiB),
    ],
    devices: cdrom.devices,
    order: option('--device-bootorder', boot?.order && orderOf(boot.order), orderOf(config.boot.order ?? [])),
    removals: cdrom.removals,
  }
}

type DeviceParts = Pick<Parts, 'devices' | 'removals'>

const nothing: DeviceParts = { devices: [], removals: [] }

const orderOf = (order: readonly string[]): string =>
  order.map((device) => (device === 'disk' ? 'hdd0' : 'cdrom0')).join(' ')

/** The disks after an edit; new ones have an empty id. */
function wantedDisks(changes: VmChanges, { record }: VmInfo): readonly DiskConfig[] {
  const { disks } = record.config
  const wanted = keepDisks(changes, disks, (disk) => ({ ...disk, id: '' }))
  const ids = wanted.map(({ id }) => id)
  const inOrder = disks.flatMap(({ id }) => (ids.includes(id) ? [id] : []))
  if (inOrder.some((id, index) => ids[index] !== id)) {
    throw new NotSupportedError({
      capability: 'spec.disks',
      reason: 'this driver does not change the order of disks',
      hint: 'Put new disks behind the others.',
    })
  }
  return wanted
}

interface DiskCommands {
  readonly additions: readonly SetCommand[]
  readonly growth: readonly SetCommand[]
  readonly removals: readonly SetCommand[]
}

function diskCommands(wanted: readonly DiskConfig[], before: VmInfo, now: VmInfo): DiskCommands {
  const { disks } = now.record.config
  const hasMade = disks.filter(({ id }) => !hasDisk(before, id)).length
  const toMake = wanted.filter(({ id }) => id === '').slice(hasMade)
  const growth = wanted.flatMap(({ id, sizeMiB }): SetCommand[] => {
    const index = disks.findIndex((disk) => disk.id === id)
    const name = now.disks[index]
    return name === undefined || disks[index]?.sizeMiB === sizeMiB
      ? []
      : [['--device-set', name, '--size', String(sizeMiB)]]
  })
  return {
    additions: toMake.map(({ sizeMiB }) => ['--device-add', 'hdd', '--size', String(sizeMiB)]),
    growth,
    removals: removalsOf(now, ({ id }) => hasDisk(before, id) && !wanted.some((disk) => disk.id === id)),
  }
}

const hasDisk = ({ record }: VmInfo, id: string): boolean => record.config.disks.some((disk) => disk.id === id)

/** Removes the last disk first, so that the others keep the names of their devices. */
const removalsOf = (now: VmInfo, isWanted: (disk: DiskConfig) => boolean): SetCommand[] =>
  now.record.config.disks
    .flatMap((disk, index) => (isWanted(disk) ? (now.disks[index] ?? []) : []))
    .reverse()
    .map((name) => ['--device-del', name, '--destroy-image'])

function cdromCommands(cdroms: readonly MediaConfig[], { drives }: VmInfo): DeviceParts {
  const devices: SetCommand[] = []
  for (const [index, { image = '' }] of cdroms.entries()) {
    const drive = drives[index]
    if (drive?.image === image) continue
    const which = drive === undefined ? ['--device-add', 'cdrom'] : ['--device-set', drive.name]
    devices.push([...which, '--image', image, image === '' ? '--disconnect' : '--connect'])
  }
  const removed = drives.slice(cdroms.length).reverse()
  return { devices, removals: removed.map(({ name }) => ['--device-del', name]) }
}
