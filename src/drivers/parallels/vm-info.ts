import { posix } from 'node:path'
import * as v from 'valibot'
import type { VmRecord } from '../../model/vm-record.js'
import { ProtocolError } from '../../errors.js'
import type { NetworkAddress } from '../../model/network-address.js'
import type { Complete } from '../../model/schema.js'
import type { BootConfig, DiskConfig, VmConfig } from '../../model/vm-config.js'
import { bareId, isId } from './vm-id.js'
import { stateOf } from './vm-states.js'

const device = v.record(v.string(), v.unknown())

/** The fields of an entry of `list -i -j` that are read. Versions differ in other fields, and in the spelling of numbers. */
const infoSchema = v.object({
  ID: v.pipe(v.string(), v.transform(bareId), v.check(isId)),
  Name: v.string(),
  Description: v.optional(v.string(), ''),
  State: v.string(),
  OS: v.optional(v.string(), ''),
  Template: v.optional(v.string(), ''),
  /** `'VM'`, or `'CT'` of a container of Virtuozzo. */
  Type: v.optional(v.string(), 'VM'),
  Home: v.optional(v.string(), ''),
  GuestTools: v.optional(v.object({ state: v.optional(v.string(), '') })),
  'Boot order': v.optional(v.string(), ''),
  /** Absent if the VM's files can't be read. */
  Hardware: v.optional(v.record(v.string(), v.unknown()), {}),
  Network: v.optional(v.object({ ipAddresses: v.optional(v.array(v.object({ type: v.string(), ip: v.string() }))) })),
})

type Info = v.InferOutput<typeof infoSchema>

/** A CD-ROM drive and its medium. */
interface CdromDrive {
  /** `cdrom0` */
  readonly name: string
  /** The path of an image; empty if there is none, or the host's own drive is used. */
  readonly image: string
}

/** A VM in `list -i -j`. */
export interface VmInfo {
  readonly record: VmRecord
  /** The disks by name, in the order of `record.config.disks`: `hdd0`, `hdd2`. */
  readonly disks: readonly string[]
  readonly drives: readonly CdromDrive[]
  /** In the host's format: `hdd0 cdrom0 usb`. */
  readonly bootOrder: string
  readonly home: string
  readonly isWindows: boolean
  /** `'not_installed'`, `'installed'`, `'possibly_installed'`, `'outdated'`. */
  readonly tools: string
  readonly addresses: readonly NetworkAddress[]
}

/**
 * The VMs of a parsed `list -i -j`, without containers. Entries that can't be read are left out, so that one damaged VM does not hide
 * the others.
 */
export function vmInfosOf(output: unknown): VmInfo[] {
  if (!Array.isArray(output)) return []
  return output.flatMap((entry: unknown) => {
    const parsed = v.safeParse(infoSchema, entry)
    return parsed.success && parsed.output.Type !== 'CT' ? [vmInfoOf(parsed.output)] : []
  })
}

function vmInfoOf(info: Info): VmInfo {
  return {
    record: {
      id: info.ID,
      state: stateOf(info.State),
      config: configOf(info),
      native: { driver: 'parallels', isTemplate: info.Template.toLowerCase() === 'yes' },
      ...(info.State === 'invalid' && { problem: unreadable(info) }),
    },
    disks: devicesOf(info, 'hdd'),
    drives: drivesOf(info),
    bootOrder: info['Boot order'].trim(),
    home: info.Home.replace(/\/$/, ''),
    isWindows: /^win/i.test(info.OS),
    tools: info.GuestTools?.state ?? '',
    addresses: addressesOf(info),
  }
}

const unreadable = ({ Home, State }: Info): ProtocolError =>
  new ProtocolError({
    reason: `Parallels calls it invalid: its files in ${Home} are damaged or can't be reached`,
    hint: 'Restore them, or take the VM out of the list with vm.unregister().',
    native: { driver: 'parallels', message: `State: ${State}` },
  })

/** Settings that no VM of this host has. */
export type OfOtherHosts =
  | 'labels'
  | 'ephemeral'
  | 'networkAdapters'
  | 'guest'
  | 'cloudInit'
  | 'architecture'
  | 'machine'
  | 'native'
  | 'shares'
  | 'tpm'

/** The host does not report the rest. */
function configOf(info: Info): Complete<Omit<VmConfig, OfOtherHosts | 'createdAt'>> {
  return {
    name: info.Name,
    description: info.Description,
    cpus: amount(hardware(info, 'cpu')['cpus']),
    memoryMiB: amount(hardware(info, 'memory')['size']),
    disks: disksOf(info),
    cdroms: drivesOf(info).map(({ image }) => (image === '' ? {} : { image })),
    floppies: [],
    boot: { order: bootOrder(info['Boot order']) },
  }
}

const hardware = ({ Hardware }: Info, name: string): Readonly<Record<string, unknown>> => {
  const parsed = v.safeParse(device, Hardware[name])
  return parsed.success ? parsed.output : {}
}

/**
 * The disks, with the names of their images as ids: a device's name may pass to another disk when one is removed. A disk without an
 * image name of its own has its device's name.
 */
function disksOf(info: Info): DiskConfig[] {
  const disks = devicesOf(info, 'hdd').map((device) => {
    const { image, size } = hardware(info, device)
    return { device, image: typeof image === 'string' ? posix.basename(image) : '', sizeMiB: amount(size) }
  })
  return disks.map(({ device, image, sizeMiB }) => {
    const isAmbiguous = image === '' || disks.some((other) => other.device !== device && other.image === image)
    return { id: isAmbiguous ? device : image, sizeMiB }
  })
}

/** The devices of one kind, by name: `hdd0` before `hdd10`. */
function devicesOf(info: Info, kind: string): string[] {
  const pattern = new RegExp(`^${kind}(\\d+)$`)
  return Object.keys(info.Hardware)
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((index) => `${kind}${String(index)}`)
}

const drivesOf = (info: Info): CdromDrive[] =>
  devicesOf(info, 'cdrom').map((name) => {
    const { image } = hardware(info, name)
    return { name, image: typeof image === 'string' ? image : '' }
  })

/** Parses `4`, `"4"`, or `"2048Mb"`; 0 if there is no number. */
const amount = (value: unknown): number => {
  const digits = typeof value === 'number' || typeof value === 'string' ? /^\d+/.exec(String(value))?.[0] : undefined
  return Number(digits ?? 0)
}

const bootDevices: Readonly<Record<string, 'disk' | 'cdrom' | 'floppy'>> = {
  hdd: 'disk',
  cdrom: 'cdrom',
  fdd: 'floppy',
}

/** `hdd0 cdrom0 usb` */
const bootOrder = (text: string): NonNullable<BootConfig['order']> => [
  ...new Set(text.split(/\s+/).flatMap((word) => bootDevices[word.replace(/\d+$/, '')] ?? [])),
]

function addressesOf(info: Info): NetworkAddress[] {
  const adapter = hardware(info, 'net0')
  const mac = typeof adapter['mac'] === 'string' ? adapter['mac'].toLowerCase() : ''
  const macAddress = /^[0-9a-f]{12}$/.test(mac) ? (mac.match(/../g)?.join(':') ?? '') : undefined
  return (info.Network?.ipAddresses ?? []).flatMap(({ type, ip }) => {
    if (type !== 'ipv4' && type !== 'ipv6') return []
    // With several adapters, the host does not tell which has which address.
    const isOnly = devicesOf(info, 'net').length === 1
    return [
      {
        interfaceName: isOnly ? 'net0' : 'net',
        address: ip,
        family: type,
        ...(isOnly && macAddress !== undefined && { macAddress }),
      },
    ]
  })
}
