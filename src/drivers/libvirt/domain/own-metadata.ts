import type { CloudInitConfig } from '../../../model/cloud-init.js'
import type { VmLabels } from '../../../model/vm-labels.js'
import { attributeOf, childOf, childrenOf, elementsIn, type XmlElement } from '../xml/xml-tree.js'
import { xml, type XmlPart } from '../xml/xml-writer.js'

/** The name of awaitvm's element in `<metadata>`, which libvirt keeps with the domain as it is. */
const namespace = 'urn:awaitvm:vm:1'
const prefix = 'awaitvm'

/** What awaitvm keeps of a disk that it has made. */
export interface DiskOrigin {
  /** The image that the disk was made of. */
  readonly image?: string | undefined
  readonly sizeMiB?: number | undefined
}

/** What awaitvm keeps with a domain that libvirt has no place for. */
export interface OwnMetadata {
  /** The domain that it was written for: programs that copy a domain copy its metadata. */
  readonly uuid?: string | undefined
  readonly createdAt?: Date | undefined
  /** Only while the domain is being made or deleted: which process does that. It is not shown. */
  readonly draft?: string | undefined
  /** Only while an edit makes or deletes disks: which process does that. */
  readonly editor?: string | undefined
  /** The names of the volumes that unfinished edits make or delete. If one ended half-way, those that are no disk of the domain are left over. */
  readonly files?: readonly string[] | undefined
  readonly labels?: VmLabels | undefined
  /** By the id of the disk. */
  readonly disks: ReadonlyMap<string, DiskOrigin>
  readonly seed?: CloudInitConfig | undefined
}

/** The element of awaitvm in a domain, which has a prefix of its own. */
export function ownElement(domain: XmlElement): XmlElement | undefined {
  return elementsIn(childOf(domain, 'metadata')).find((element) => {
    const [first, second] = element.name.split(':')
    const declaration = second === undefined ? 'xmlns' : `xmlns:${first ?? ''}`
    return (second ?? first) === 'vm' && element.attributes[declaration] === namespace
  })
}

/** What awaitvm has kept with a domain; of metadata that others have damaged, what can be read. */
export function readMetadata(domain: XmlElement): OwnMetadata {
  const own = ownElement(domain)
  if (own === undefined) return { disks: new Map() }
  const { name } = own
  const inOwn = (element: string): XmlElement[] => childrenOf(own, name.replace(/vm$/, element))
  const labels = inOwn('label').flatMap((label): [string, string][] => {
    const key = attributeOf(label, 'name')
    return key === undefined ? [] : [[key, label.text]]
  })
  const files = inOwn('file').flatMap((file) => attributeOf(file, 'name') ?? [])
  const [seed] = inOwn('seed')
  return {
    uuid: attributeOf(own, 'uuid'),
    createdAt: dateOf(attributeOf(own, 'created')),
    draft: attributeOf(own, 'draft'),
    editor: attributeOf(own, 'editor'),
    files: files.length === 0 ? undefined : files,
    labels: labels.length === 0 ? undefined : Object.fromEntries(labels),
    disks: new Map(
      inOwn('disk').map((disk) => [
        attributeOf(disk, 'id') ?? '',
        originOf(attributeOf(disk, 'image'), wholeOf(attributeOf(disk, 'sizeMiB'))),
      ]),
    ),
    seed: seed && { hostname: attributeOf(seed, 'hostname') ?? '', instanceId: attributeOf(seed, 'instance') ?? '' },
  }
}

const originOf = (image: string | undefined, sizeMiB: number | undefined): DiskOrigin => ({
  ...(image !== undefined && { image }),
  ...(sizeMiB !== undefined && { sizeMiB }),
})

/** The element that keeps it. */
export const metadataPart = ({
  uuid,
  createdAt,
  draft,
  editor,
  files = [],
  labels = {},
  disks,
  seed,
}: OwnMetadata): XmlPart =>
  xml(
    `${prefix}:vm`,
    { [`xmlns:${prefix}`]: namespace, uuid, created: createdAt?.toISOString(), draft, editor },
    ...Object.entries(labels).map(([name, value]) => xml(`${prefix}:label`, { name }, value)),
    ...files.map((name) => xml(`${prefix}:file`, { name })),
    ...[...disks].map(([id, { image, sizeMiB }]) => xml(`${prefix}:disk`, { id, image, sizeMiB })),
    seed && xml(`${prefix}:seed`, { hostname: seed.hostname, instance: seed.instanceId }),
  )

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? '')
  return Number.isNaN(date.getTime()) ? undefined : date
}

function wholeOf(text: string | undefined): number | undefined {
  const value = Number(text)
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}
