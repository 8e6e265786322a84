import type { BootConfig, DiskBus, MediaConfig } from '../../../model/vm-config.js'
import type { VmSpec } from '../../../model/vm-spec.js'
import { writeXml, xml, type XmlPart } from '../xml/xml-writer.js'
import { adapterPart } from './adapters.js'
import { aliasOf, freeTarget, seedId } from './drives.js'
import type { Capabilities } from '../capabilities.js'
import { metadataPart, type OwnMetadata } from './own-metadata.js'

/** A disk that is there already, as a file on the host. */
export interface NewDisk {
  readonly id: string
  readonly path: string
  readonly format: 'raw' | 'qcow2'
  readonly bus: DiskBus
}

/** What a new domain is made of. */
export interface NewDomain {
  readonly uuid: string
  readonly spec: VmSpec
  readonly host: Capabilities
  readonly disks: readonly NewDisk[]
  /** The file of the seed for cloud-init. */
  readonly seed?: string | undefined
  readonly metadata: OwnMetadata
}

/** Memory of a VM whose spec has none. */
const defaultMemoryMiB = 512

/** The XML of a new domain. */
export function newDomainXml({ uuid, spec, host, disks, seed, metadata }: NewDomain): string {
  const { name, description, cpus = 1, memoryMiB = defaultMemoryMiB, networkAdapters = [] } = spec
  const isPc = host.domainType !== 'test'
  const domain = xml(
    'domain',
    { type: host.domainType },
    xml('name', {}, name),
    xml('uuid', {}, uuid),
    description !== undefined && xml('description', {}, description),
    xml('metadata', {}, metadataPart(metadata)),
    xml('memory', { unit: 'MiB' }, String(memoryMiB)),
    xml('vcpu', {}, String(cpus)),
    osPart(spec, host),
    xml('features', {}, xml('acpi'), xml('apic')),
    // The processor of the computer; without KVM, all that QEMU can emulate. The default of both is one of 2006.
    isPc && xml('cpu', { mode: host.domainType === 'kvm' ? 'host-passthrough' : 'maximum' }),
    xml('clock', { offset: 'utc' }),
    xml('devices', {}, ...drivesPart(spec, disks, seed), ...networkAdapters.map(adapterPart), ...(isPc ? fixed : [])),
  )
  return `${writeXml(domain)}\n`
}

/** A serial console, the channel of QEMU's guest agent, a screen for screenshots and random numbers for the guest. */
const fixed: readonly XmlPart[] = [
  xml('serial', { type: 'pty' }),
  xml('channel', { type: 'unix' }, xml('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' })),
  xml('video', {}, xml('model', { type: 'vga' })),
  xml('rng', { model: 'virtio' }, xml('backend', { model: 'random' }, '/dev/urandom')),
]

function osPart({ boot = {}, machine = 'q35' }: VmSpec, { domainType, architecture }: Capabilities): XmlPart {
  const isUefi = boot.firmware === 'uefi'
  return xml(
    'os',
    { firmware: isUefi && 'efi' },
    xml('type', { arch: architecture, machine: domainType !== 'test' && machine }, 'hvm'),
    ...(isUefi ? [withoutSecureBoot] : []),
    ...bootParts(boot),
  )
}

/** Kernels that no vendor has signed boot, too. libvirt 9.0 refuses `<loader secure='no'/>` beside `firmware`. */
const withoutSecureBoot = xml('firmware', {}, xml('feature', { enabled: 'no', name: 'secure-boot' }))

const bootDevices = { disk: 'hd', cdrom: 'cdrom', floppy: 'fd' } as const
const defaultOrder = ['disk', 'cdrom', 'floppy'] as const

/** What is booted, in `<os>`. */
export const bootParts = ({ kernel, initrd, commandLine, order = defaultOrder }: BootConfig): XmlPart[] =>
  kernel === undefined
    ? order.map((device) => xml('boot', { dev: bootDevices[device] }))
    : [
        xml('kernel', {}, kernel),
        ...(initrd === undefined ? [] : [xml('initrd', {}, initrd)]),
        ...(commandLine === undefined ? [] : [xml('cmdline', {}, commandLine)]),
      ]

function drivesPart(
  { cdroms = [], floppies = [], machine }: VmSpec,
  disks: readonly NewDisk[],
  seed?: string,
): XmlPart[] {
  const taken: string[] = []
  const target = (bus: Parameters<typeof freeTarget>[0]): string => {
    const name = freeTarget(bus, taken)
    taken.push(name)
    return name
  }
  const cdromBus = machine === 'pc' ? 'ide' : 'sata'
  return [
    ...disks.map((disk) => diskPart(disk, target(disk.bus))),
    ...cdroms.map((cdrom) => cdromPart(cdrom, target(cdrom.bus ?? cdromBus), cdrom.bus ?? cdromBus)),
    ...floppies.map((floppy) => floppyPart(floppy, target('fdc'))),
    ...(seed === undefined ? [] : [seedPart(seed, target(cdromBus), cdromBus)]),
    ...([...disks, ...cdroms].some(({ bus }) => bus === 'scsi') ? [scsiController] : []),
  ]
}

/** Without it, libvirt takes a controller of 1998, for which Linux of today has no driver. */
export const scsiController = xml('controller', { type: 'scsi', model: 'virtio-scsi' })

export const diskPart = ({ id, path, format, bus }: NewDisk, target: string): XmlPart =>
  xml(
    'disk',
    { type: 'file', device: 'disk' },
    xml('driver', { name: 'qemu', type: format, discard: 'unmap' }),
    xml('source', { file: path }),
    // libvirt need not look in the image for others below it, which a guest could name there.
    xml('backingStore'),
    xml('target', { dev: target, bus }),
    xml('alias', { name: aliasOf(id) }),
  )

export const cdromPart = ({ image }: MediaConfig, target: string, bus: Exclude<DiskBus, 'virtio'>): XmlPart =>
  xml(
    'disk',
    { type: 'file', device: 'cdrom' },
    xml('driver', { name: 'qemu', type: 'raw' }),
    image !== undefined && xml('source', { file: image }),
    xml('target', { dev: target, bus }),
    xml('readonly'),
  )

export const floppyPart = ({ image }: MediaConfig, target: string): XmlPart =>
  xml(
    'disk',
    { type: 'file', device: 'floppy' },
    xml('driver', { name: 'qemu', type: 'raw' }),
    image !== undefined && xml('source', { file: image }),
    xml('target', { dev: target, bus: 'fdc' }),
    xml('readonly'),
  )

export const seedPart = (path: string, target: string, bus: 'ide' | 'sata'): XmlPart =>
  xml(
    'disk',
    { type: 'file', device: 'cdrom' },
    xml('driver', { name: 'qemu', type: 'raw' }),
    xml('source', { file: path }),
    xml('target', { dev: target, bus }),
    xml('readonly'),
    xml('alias', { name: aliasOf(seedId) }),
  )
