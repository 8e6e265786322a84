import type { VmLabels } from '../../model/vm-labels.js'
import { attributeOf, childOf, childrenOf, documentOf, newElement, replaceChild, type Element } from './xml.js'

/** What awaitvm keeps of a VM in the `metadata` of its domain, since libvirt has no place for it. */
export interface KeptDetails {
  readonly labels: VmLabels | undefined
  readonly createdAt: Date | undefined
}

/** The namespace of awaitvm's part of the metadata. */
const namespace = 'urn:awaitvm:vm:1'
const partName = 'awaitvm:vm'

export function readDetails(domain: Element): KeptDetails {
  const part = partOf(domain)
  const labels = childrenOf(part, 'awaitvm:label').flatMap((label) => {
    const name = attributeOf(label, 'name')
    return name === undefined ? [] : [[name, attributeOf(label, 'value') ?? ''] as const]
  })
  const createdAt = new Date(attributeOf(part, 'createdAt') ?? NaN)
  return {
    labels: labels.length === 0 ? undefined : Object.fromEntries(labels),
    createdAt: Number.isNaN(createdAt.getTime()) ? undefined : createdAt,
  }
}

/** Writes the details into the domain, and leaves the metadata of others as it is. */
export function writeDetails(domain: Element, { labels = {}, createdAt }: KeptDetails): void {
  const document = documentOf(domain)
  const part = newElement(
    document,
    partName,
    { 'xmlns:awaitvm': namespace, createdAt: createdAt?.toISOString() },
    ...Object.entries(labels).map(([name, value]) => newElement(document, 'awaitvm:label', { name, value })),
  )
  const metadata = childOf(domain, 'metadata') ?? newElement(document, 'metadata')
  replaceChild(metadata, partName, part)
  replaceChild(domain, 'metadata', metadata)
}

const partOf = (domain: Element): Element | undefined =>
  childrenOf(childOf(domain, 'metadata'), partName).find((part) => attributeOf(part, 'xmlns:awaitvm') === namespace)
