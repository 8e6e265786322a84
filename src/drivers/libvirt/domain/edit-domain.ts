import type { CdromConfig, DiskBus, MediaConfig } from '../../../model/vm-config.js'
import type { VmChanges } from '../../../model/vm-spec.js'
import { XmlEdit } from '../xml/xml-edit.js'
import { attributeOf, childOf, childrenOf, type XmlElement } from '../xml/xml-tree.js'
import { xml } from '../xml/xml-writer.js'
import { editAdapters } from './edit-adapters.js'
import { aliasOf, freeTarget, isSeed, mediaDrives, type Drive } from './drives.js'
import { bootParts, cdromPart, diskPart, floppyPart, scsiController, seedPart, type NewDisk } from './new-domain.js'
import { metadataPart, ownElement, type OwnMetadata } from './own-metadata.js'
import type { Domain } from './read-domain.js'

/** What an edit makes of a domain's disks and seed, whose files are there already, and of what awaitvm keeps with it. */
export interface DomainEdit {
  readonly changes: Pick<
    VmChanges,
    'description' | 'cpus' | 'memoryMiB' | 'cdroms' | 'floppies' | 'boot' | 'networkAdapters'
  >
  readonly newDisks: readonly NewDisk[]
  readonly removedDisks: readonly string[]
  /** New buses of disks, by their ids. */
  readonly buses: ReadonlyMap<string, DiskBus>
  /** The file of a new seed; `false` takes it away. */
  readonly seed: string | false | undefined
  readonly metadata: OwnMetadata
}

/** The XML of a domain after an edit. What awaitvm does not model, and what the edit does not name, stays as it is. */
export function editedXml(text: string, domain: Domain, edit: DomainEdit): string {
  const { changes, metadata } = edit
  const document = new XmlEdit(text)
  if (changes.description !== undefined) editDescription(document, domain.root, changes.description)
  editMetadata(document, domain.root, metadata)
  editResources(document, domain.root, changes)
  if (changes.boot !== undefined) editBoot(document, domain, changes.boot)
  editDrives(document, domain, edit)
  if (changes.networkAdapters !== undefined) editAdapters(document, domain, changes.networkAdapters)
  return document.text
}

/** The XML of a domain with other metadata of awaitvm's, and all else as it is. */
export function withMetadata(text: string, { root }: Domain, metadata: OwnMetadata): string {
  const document = new XmlEdit(text)
  editMetadata(document, root, metadata)
  return document.text
}

function editDescription(document: XmlEdit, root: XmlElement, description: string): void {
  const present = childOf(root, 'description')
  if (present !== undefined) document.setText(present, description)
  else if (description !== '') document.append(root, xml('description', {}, description))
}

function editMetadata(document: XmlEdit, root: XmlElement, metadata: OwnMetadata): void {
  const own = ownElement(root)
  const parent = childOf(root, 'metadata')
  const part = metadataPart(metadata)
  if (own !== undefined) document.replace(own, part)
  else if (parent === undefined) document.append(root, xml('metadata', {}, part))
  else document.append(parent, part)
}

function editResources(document: XmlEdit, root: XmlElement, { cpus, memoryMiB }: DomainEdit['changes']): void {
  const [vcpu, vcpus] = [childOf(root, 'vcpu'), childOf(root, 'vcpus')]
  if (cpus !== undefined && vcpu !== undefined) {
    document.setText(vcpu, String(cpus))
    document.setAttribute(vcpu, 'current', undefined)
    // It lists each processor, and libvirt writes another one.
    if (vcpus !== undefined) document.remove(vcpus)
  }
  if (memoryMiB === undefined) return
  for (const memory of [childOf(root, 'memory'), childOf(root, 'currentMemory')]) {
    if (memory === undefined) continue
    document.setText(memory, String(memoryMiB))
    document.setAttribute(memory, 'unit', 'MiB')
  }
}

function editBoot(document: XmlEdit, { root }: Domain, boot: NonNullable<VmChanges['boot']>): void {
  const os = childOf(root, 'os')
  if (os === undefined) return
  for (const name of ['kernel', 'initrd', 'cmdline', 'boot']) {
    for (const element of childrenOf(os, name)) document.remove(element)
  }
  for (const part of bootParts(boot)) document.append(os, part)
  // libvirt refuses an order of devices beside one of kinds of devices.
  for (const kind of ['disk', 'interface', 'hostdev', 'redirdev']) {
    for (const device of childrenOf(childOf(root, 'devices'), kind)) {
      const order = childOf(device, 'boot')
      if (order !== undefined) document.remove(order)
    }
  }
}

function editDrives(document: XmlEdit, { root, drives }: Domain, edit: DomainEdit): void {
  const devices = childOf(root, 'devices')
  if (devices === undefined) return
  const { changes, newDisks, removedDisks, buses, seed } = edit
  const targets = drives.map(({ target }) => target)
  const newTarget = (bus: Parameters<typeof freeTarget>[0]): string => {
    const target = freeTarget(bus, targets)
    targets.push(target)
    return target
  }
  for (const drive of drives) {
    const { id, element } = drive
    const bus = buses.get(id)
    if (removedDisks.includes(id)) document.remove(element)
    else if (bus !== undefined) moveDisk(document, drive, { bus, target: newTarget(bus) })
  }
  for (const disk of newDisks) document.append(devices, diskPart(disk, newTarget(disk.bus)))
  const cdromBus = machineHasSata(root) ? 'sata' : 'ide'
  editMedia(
    document,
    devices,
    { present: mediaDrives(drives, 'cdrom'), wanted: changes.cdroms },
    ({ image, bus = cdromBus }) => cdromPart({ image }, newTarget(bus), bus),
  )
  editMedia(document, devices, { present: mediaDrives(drives, 'floppy'), wanted: changes.floppies }, (floppy) =>
    floppyPart(floppy, newTarget('fdc')),
  )
  const present = drives.find(isSeed)
  if (seed !== undefined && present !== undefined) document.remove(present.element)
  if (typeof seed === 'string') document.append(devices, seedPart(seed, newTarget(cdromBus), cdromBus))
  const needsScsi = [
    ...newDisks.map(({ bus }) => bus),
    ...buses.values(),
    ...(changes.cdroms ?? []).map(({ bus }) => bus),
  ]
  if (needsScsi.includes('scsi') && !hasScsi(devices)) document.append(devices, scsiController)
}

const machineHasSata = (root: XmlElement): boolean =>
  !/^pc(-i440fx|-\d|$)/.test(attributeOf(childOf(root, 'os', 'type'), 'machine') ?? '')

const hasScsi = (devices: XmlElement): boolean =>
  childrenOf(devices, 'controller').some((controller) => attributeOf(controller, 'type') === 'scsi')

/** Gives a disk another bus. Its address is of the old one, and libvirt makes it another. Its id stays. */
function moveDisk(
  document: XmlEdit,
  { element: disk, id }: Drive,
  to: { readonly bus: DiskBus; readonly target: string },
): void {
  const [target, address] = [childOf(disk, 'target'), childOf(disk, 'address')]
  if (target !== undefined) {
    document.setAttribute(target, 'dev', to.target)
    document.setAttribute(target, 'bus', to.bus)
  }
  if (address !== undefined) document.remove(address)
  // Without an alias, the name of the target is the id.
  const alias = childOf(disk, 'alias')
  if (alias === undefined) document.append(disk, xml('alias', { name: aliasOf(id) }))
  else document.setAttribute(alias, 'name', aliasOf(id))
}

/** Puts the wanted images into the drives, in order, or takes them out; what is too much is removed, and what is missing added. */
function editMedia<M extends MediaConfig & Pick<CdromConfig, 'bus'>>(
  document: XmlEdit,
  devices: XmlElement,
  { present, wanted }: { readonly present: readonly Drive[]; readonly wanted: readonly M[] | undefined },
  make: (medium: M) => ReturnType<typeof cdromPart>,
): void {
  if (wanted === undefined) return
  for (const [index, medium] of wanted.entries()) {
    const drive = present[index]
    if (drive === undefined) document.append(devices, make(medium))
    else if (medium.bus !== undefined && medium.bus !== drive.bus) document.replace(drive.element, make(medium))
    else if (drive.path !== medium.image) changeMedium(document, drive.element, medium.image)
  }
  for (const { element } of present.slice(wanted.length)) document.remove(element)
}

function changeMedium(document: XmlEdit, drive: XmlElement, image: string | undefined): void {
  const source = childOf(drive, 'source')
  if (image === undefined) {
    if (source !== undefined) document.remove(source)
    return
  }
  const part = xml('source', { file: image })
  document.setAttribute(drive, 'type', 'file')
  if (source === undefined) document.append(drive, part)
  else document.replace(source, part)
}
