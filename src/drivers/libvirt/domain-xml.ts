import type { Complete } from '../../model/schema.js'
import type { BootConfig, CdromConfig, DiskBus, DiskConfig, MachineType, VmConfig } from '../../model/vm-config.js'
import { readDetails } from './kept-details.js'
import { attributeOf, childOf, childrenOf, textOf, type Element } from './xml.js'

/** Settings that are not read from a domain yet. */
type NotRead = 'ephemeral' | 'networkAdapters' | 'guest' | 'cloudInit' | 'native' | 'shares' | 'tpm'

/** The settings of a domain, as far as awaitvm models them. */
export function configOf(domain: Element): VmConfig {
  const { labels, createdAt } = readDetails(domain)
  const type = childOf(domain, 'os', 'type')
  const config: Complete<Omit<VmConfig, NotRead>> = {
    name: textOf(childOf(domain, 'name')),
    description: textOf(childOf(domain, 'description')),
    labels,
    cpus: Number(textOf(childOf(domain, 'vcpu'))) || 1,
    memoryMiB: mebibytesOf(childOf(domain, 'memory')),
    disks: drivesOf(domain, 'disk').map(diskOf),
    cdroms: drivesOf(domain, 'cdrom').flatMap(cdromOf),
    floppies: drivesOf(domain, 'floppy').flatMap(mediumOf),
    boot: bootOf(domain),
    architecture: architectureOf(attributeOf(type, 'arch')),
    machine: machineOf(attributeOf(type, 'machine')),
    createdAt,
  }
  return withoutAbsent(config)
}

/** Fields that are undefined are left out, as those of other hosts are. */
function withoutAbsent(config: VmConfig): VmConfig {
  const { labels, architecture, machine, createdAt, ...always } = config
  return {
    ...always,
    ...(labels !== undefined && { labels }),
    ...(architecture !== undefined && { architecture }),
    ...(machine !== undefined && { machine }),
    ...(createdAt !== undefined && { createdAt }),
  }
}

/** Bytes of libvirt's units; `KiB` if there is none. */
const units: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1000,
  k: 1024,
  KiB: 1024,
  MB: 1000 ** 2,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1000 ** 3,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  TB: 1000 ** 4,
  T: 1024 ** 4,
  TiB: 1024 ** 4,
}

const mebibytesOf = (memory: Element | undefined): number =>
  Math.floor((Number(textOf(memory)) * (units[attributeOf(memory, 'unit') ?? 'KiB'] ?? 1024)) / 2 ** 20) || 0

/** The drives of one kind. A device without a kind is a disk. */
const drivesOf = (domain: Element, kind: string): Element[] =>
  childrenOf(childOf(domain, 'devices'), 'disk').filter((drive) => (attributeOf(drive, 'device') ?? 'disk') === kind)

/** A disk is known by the name of its target, `vda`, by which libvirt knows it, too. */
function diskOf(drive: Element): DiskConfig {
  const target = childOf(drive, 'target')
  const bus = busOf(target)
  return { id: attributeOf(target, 'dev') ?? '', ...(bus !== undefined && { bus }) }
}

function cdromOf(drive: Element): CdromConfig[] {
  const bus = busOf(childOf(drive, 'target'))
  return mediumOf(drive).map(({ image }) => ({ image, ...(bus !== undefined && bus !== 'virtio' && { bus }) }))
}

function mediumOf(drive: Element): { readonly image: string }[] {
  const image = attributeOf(childOf(drive, 'source'), 'file')
  return image === undefined ? [] : [{ image }]
}

const buses: readonly DiskBus[] = ['virtio', 'scsi', 'sata', 'ide']

const busOf = (target: Element | undefined): DiskBus | undefined =>
  buses.find((bus) => bus === attributeOf(target, 'bus'))

const bootDevices: Readonly<Record<string, NonNullable<BootConfig['order']>[number]>> = {
  hd: 'disk',
  cdrom: 'cdrom',
  fd: 'floppy',
}

/** The order is told only if it is not libvirt's own, the disks. */
function bootOf(domain: Element): BootConfig {
  const os = childOf(domain, 'os')
  const order = childrenOf(os, 'boot').flatMap((boot) => bootDevices[attributeOf(boot, 'dev') ?? ''] ?? [])
  const [kernel, initrd, commandLine] = ['kernel', 'initrd', 'cmdline'].map((name) => textOf(childOf(os, name)))
  return {
    ...(kernel !== '' && { kernel }),
    ...(initrd !== '' && { initrd }),
    ...(commandLine !== '' && { commandLine }),
    ...(attributeOf(os, 'firmware') === 'efi' && { firmware: 'uefi' }),
    ...(order.join() !== 'disk' && order.length > 0 && { order }),
  }
}

const architectureOf = (arch: string | undefined): VmConfig['architecture'] =>
  arch === 'x86_64' || arch === 'aarch64' ? arch : undefined

/** `pc-q35-7.2`, `pc-i440fx-7.2`, or the alias. */
function machineOf(machine = ''): MachineType | undefined {
  if (/^(?:q35|pc-q35-)/.test(machine)) return 'q35'
  return /^pc(?:$|-)/.test(machine) ? 'pc' : undefined
}
