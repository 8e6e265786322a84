import type { DiskBus } from '../../../model/vm-config.js'
import { attributeOf, childOf, childrenOf, type XmlElement } from '../xml/xml-tree.js'

/** A disk, CD-ROM or floppy drive of a domain. */
export interface Drive {
  readonly element: XmlElement
  /** Unique in its domain, and the same over edits: see {@link idOf}. */
  readonly id: string
  /** `'lun'` is a disk that is passed through to the guest. */
  readonly device: 'disk' | 'cdrom' | 'floppy'
  /** The name that libvirt has for it: `vda`. It changes with the bus. */
  readonly target: string
  /** libvirt's name for the bus, which may be one that awaitvm does not model: `usb`, `xen`. */
  readonly bus: string
  /** The file or device on the host; absent of an empty drive, and of a disk that is a volume or on a network. */
  readonly path?: string | undefined
  /** Whether it is a drive without a medium. */
  readonly isEmpty: boolean
}

/** libvirt keeps an alias with a domain only if it begins so. */
const aliasPrefix = 'ua-'

/** The id of the CD-ROM drive with the seed for cloud-init. */
export const seedId = 'cidata'

/** Whether it is the drive with the seed, which is not shown among the CD-ROMs. */
export const isSeed = ({ id, device }: Drive): boolean => device === 'cdrom' && id === seedId

/** The alias by which a disk keeps its id. */
export const aliasOf = (id: string): string => `${aliasPrefix}${id}`

/**
 * The CD-ROM or floppy drives of a domain, in its own order. One with a medium that awaitvm does not model, such as a file on a web
 * server, is not among them, so that an edit leaves it as it is.
 */
export const mediaDrives = (drives: readonly Drive[], kind: 'cdrom' | 'floppy'): Drive[] =>
  drives.filter((drive) => drive.device === kind && (drive.path !== undefined || drive.isEmpty) && !isSeed(drive))

/** The drives of a domain, in its own order. */
export const drivesOf = (domain: XmlElement): Drive[] => {
  const drives = childrenOf(childOf(domain, 'devices'), 'disk').map(driveOf)
  return drives.map((drive, index) =>
    drives.findIndex(({ id }) => id === drive.id) === index ? drive : { ...drive, id: drive.target },
  )
}

function driveOf(element: XmlElement): Drive {
  const [source, target] = [childOf(element, 'source'), childOf(element, 'target')]
  const dev = attributeOf(target, 'dev') ?? ''
  const kind = attributeOf(element, 'device')
  return {
    element,
    id: idOf(element, dev),
    device: kind === 'cdrom' || kind === 'floppy' ? kind : 'disk',
    target: dev,
    bus: attributeOf(target, 'bus') ?? '',
    path: attributeOf(source, 'file') ?? attributeOf(source, 'dev'),
    isEmpty: source === undefined,
  }
}

/** The id that awaitvm, or another client, has given to a disk by an alias; else the name of its target. */
function idOf(element: XmlElement, target: string): string {
  const alias = attributeOf(childOf(element, 'alias'), 'name') ?? ''
  return alias.startsWith(aliasPrefix) && alias.length > aliasPrefix.length ? alias.slice(aliasPrefix.length) : target
}

const buses: readonly string[] = ['virtio', 'scsi', 'sata', 'ide'] satisfies DiskBus[]

/** The bus of a disk, if awaitvm models it. */
export const isDiskBus = (bus: string): bus is DiskBus => buses.includes(bus)

/** The bus of a CD-ROM drive, if awaitvm models it. */
export const isCdromBus = (bus: string): bus is Exclude<DiskBus, 'virtio'> => bus !== 'virtio' && isDiskBus(bus)

/** The first letters of the names of targets: of SCSI and SATA disks, they are the same. */
const targetPrefixes = { virtio: 'vd', scsi: 'sd', sata: 'sd', ide: 'hd', fdc: 'fd' } as const

/** The next name of a target on a bus that is not taken: `vdb`. */
export function freeTarget(bus: keyof typeof targetPrefixes, taken: readonly string[]): string {
  for (let index = 0; ; index += 1) {
    const target = targetPrefixes[bus] + lettersOf(index)
    if (!taken.includes(target)) return target
  }
}

/** `a` to `z`, then `aa`. */
const lettersOf = (index: number): string =>
  (index < 26 ? '' : lettersOf(Math.floor(index / 26) - 1)) + String.fromCharCode(97 + (index % 26))
