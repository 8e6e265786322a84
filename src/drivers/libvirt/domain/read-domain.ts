import { ProtocolError } from '../../../errors.js'
import type { Complete } from '../../../model/schema.js'
import type { BootConfig, GuestArchitecture, MachineType, VmConfig } from '../../../model/vm-config.js'
import { attributeOf, childOf, childrenOf, readXml, textOf, type XmlElement } from '../xml/xml-tree.js'
import { adaptersOf, type Adapter } from './adapters.js'
import { drivesOf, isCdromBus, isDiskBus, mediaDrives, type Drive } from './drives.js'
import { readMetadata, type OwnMetadata } from './own-metadata.js'

/** A domain of libvirt, by its XML. */
export interface Domain {
  readonly uuid: string
  /** The settings as users see them. */
  readonly config: VmConfig
  readonly root: XmlElement
  readonly drives: readonly Drive[]
  readonly adapters: readonly Adapter[]
  readonly metadata: OwnMetadata
  /** What it boots by, also if it boots a kernel: `'uefi'`, `'bios'`, or the path of an image. */
  readonly firmware: string
}

/**
 * Reads a domain's XML. What awaitvm does not model is passed over.
 *
 * @throws ProtocolError if it is no domain of libvirt
 */
export function readDomain(text: string): Domain {
  const root = readXml(text, "libvirt's description of a VM")
  const [name, uuid] = [childOf(root, 'name')?.text, textOf(childOf(root, 'uuid'))?.toLowerCase()]
  if (root.name !== 'domain' || name === undefined || uuid === undefined) throw noDomain(root.name)
  const drives = drivesOf(root)
  const adapters = adaptersOf(root)
  const metadata = readMetadata(root)
  const config = configOf(root, { name, drives, adapters, metadata })
  return { uuid, root, drives, adapters, metadata, config, firmware: firmwareOf(childOf(root, 'os')) ?? 'bios' }
}

const noDomain = (name: string): ProtocolError =>
  new ProtocolError({
    reason: `libvirt described a VM by <${name}> without a name or a uuid, and not by a <domain>`,
    native: { driver: 'libvirt', message: `<${name}>` },
  })

/** Settings that are absent if a domain has none. */
type OptionalSettings = 'labels' | 'architecture' | 'machine' | 'cloudInit' | 'createdAt'
/** Settings that no VM of this host has. */
type OfOtherHosts = 'native' | 'guest' | 'ephemeral' | 'shares' | 'tpm'

type Parts = Pick<Domain, 'drives' | 'adapters' | 'metadata'> & { readonly name: string }

function configOf(root: XmlElement, { name, drives, adapters, metadata }: Parts): VmConfig {
  const os = childOf(root, 'os')
  const { labels, seed, createdAt } = metadata
  const [architecture, machine] = [architectureOf(childOf(os, 'type')), machineOf(childOf(os, 'type'))]
  return {
    name,
    description: childOf(root, 'description')?.text ?? '',
    ...(labels && { labels }),
    cpus: cpusOf(childOf(root, 'vcpu')),
    memoryMiB: mebibytesOf(childOf(root, 'memory')),
    disks: drives
      .filter(({ device }) => device === 'disk')
      .map(({ id, bus }) => ({ id, ...metadata.disks.get(id), ...(isDiskBus(bus) && { bus }) })),
    cdroms: mediaDrives(drives, 'cdrom').map(({ path, bus }) => ({
      ...(path !== undefined && { image: path }),
      ...(isCdromBus(bus) && { bus }),
    })),
    floppies: mediaDrives(drives, 'floppy').map(({ path }) => ({ ...(path !== undefined && { image: path }) })),
    boot: bootOf(root),
    ...(architecture && { architecture }),
    ...(machine && { machine }),
    networkAdapters: adapters.map((adapter) => adapter.config),
    ...(seed && { cloudInit: seed }),
    ...(createdAt && { createdAt }),
  } satisfies Complete<Omit<VmConfig, OptionalSettings | OfOtherHosts>> & Pick<VmConfig, OptionalSettings>
}

/** All that the domain may have at once, of which `current` are there at the start. */
const cpusOf = (vcpu: XmlElement | undefined): number => numberOf(attributeOf(vcpu, 'current') ?? textOf(vcpu)) ?? 1

/** libvirt writes KiB itself, and takes other units in what it is given. */
const bytesByUnit: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 2 ** 10,
  KiB: 2 ** 10,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
}

const mebibytesOf = (memory: XmlElement | undefined): number =>
  Math.round(
    ((numberOf(textOf(memory)) ?? 0) * (bytesByUnit[attributeOf(memory, 'unit') ?? 'KiB'] ?? 2 ** 10)) / 2 ** 20,
  )

const numberOf = (text: string | undefined): number | undefined => (/^\d+$/.test(text ?? '') ? Number(text) : undefined)

function bootOf(root: XmlElement): BootConfig {
  const os = childOf(root, 'os')
  const [kernel, initrd, commandLine] = ['kernel', 'initrd', 'cmdline'].map((name) => textOf(childOf(os, name)))
  const firmware = kernel === undefined ? firmwareOf(os) : undefined
  const order = orderOf(root)
  return {
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
    ...(commandLine !== undefined && { commandLine }),
    ...(firmware !== undefined && { firmware }),
    ...(order.length > 0 && kernel === undefined && { order }),
  }
}

/** A loader that libvirt has chosen itself is `'uefi'`; one that was named is shown by its path. */
function firmwareOf(os: XmlElement | undefined): string | undefined {
  const chosen = attributeOf(os, 'firmware')
  if (chosen === 'efi') return 'uefi'
  if (chosen === 'bios') return 'bios'
  return textOf(childOf(os, 'loader'))
}

const bootDevices: Readonly<Record<string, 'disk' | 'cdrom' | 'floppy'>> = { hd: 'disk', cdrom: 'cdrom', fd: 'floppy' }

/** By `<boot dev=''>` of the domain, or by `<boot order=''>` of its drives. */
function orderOf(root: XmlElement): ('disk' | 'cdrom' | 'floppy')[] {
  const listed = childrenOf(childOf(root, 'os'), 'boot').flatMap(
    (boot) => bootDevices[attributeOf(boot, 'dev') ?? ''] ?? [],
  )
  if (listed.length > 0) return [...new Set(listed)]
  const places = drivesOf(root).flatMap(({ element, device }) => {
    const order = attributeOf(childOf(element, 'boot'), 'order')
    return order === undefined ? [] : [{ device, order: Number(order) }]
  })
  return [...new Set(places.toSorted((a, b) => a.order - b.order).map(({ device }) => device))]
}

const architectures: readonly string[] = ['x86_64', 'aarch64'] satisfies GuestArchitecture[]
const isArchitecture = (name: string): name is GuestArchitecture => architectures.includes(name)

function architectureOf(type: XmlElement | undefined): GuestArchitecture | undefined {
  const name = attributeOf(type, 'arch') ?? ''
  return isArchitecture(name) ? name : undefined
}

/** By QEMU's name for it: `pc-q35-7.2`, `pc-i440fx-7.2`, or a name for the newest version of either. */
function machineOf(type: XmlElement | undefined): MachineType | undefined {
  const name = attributeOf(type, 'machine') ?? ''
  if (/^(pc-)?q35/.test(name)) return 'q35'
  return /^pc(-i440fx|-\d|$)/.test(name) ? 'pc' : undefined
}
