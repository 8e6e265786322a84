import { InvalidArgumentError } from '../../errors.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { readDetails, writeDetails } from './kept-details.js'
import { documentOf, newDocument, newElement, replaceChild, unwritable, type Element } from './xml.js'

type Root = 'spec' | 'changes'

/** Characters that libvirt refuses in the name of a domain, or that would make two lines of it in a list. */
const refusedInName = /[/\n\t]/

/**
 * Refuses texts that libvirt can't keep: it has XML 1.0.
 *
 * @throws InvalidArgumentError
 */
export function requireWritable({ name = '', description = '', labels = {} }: VmChanges, root: Root): void {
  const texts = {
    name,
    description,
    ...Object.fromEntries(Object.entries(labels).map(([k, text]) => [`labels.${k}`, text])),
  }
  for (const [path, text] of Object.entries(texts)) {
    const found = unwritable.exec(text) ?? (path === 'name' ? refusedInName.exec(text) : null)
    if (found === null) continue
    throw new InvalidArgumentError({
      path: `${root}.${path}`,
      reason: `${root}.${path} has the character ${JSON.stringify(found[0])}, which libvirt does not keep`,
    })
  }
}

/** What the new domain is made for. */
export interface NewDomain {
  readonly id: string
  /** `'test'`, `'kvm'`, `'qemu'` */
  readonly type: string
}

/** A new domain, with what libvirt itself adds if it is absent. */
export function newDomain(spec: VmSpec, { id, type }: NewDomain): Element {
  const domain = newDocument('domain')
  const document = documentOf(domain)
  domain.setAttribute('type', type)
  domain.appendChild(newElement(document, 'name', {}, spec.name))
  domain.appendChild(newElement(document, 'uuid', {}, id))
  domain.appendChild(newElement(document, 'os', {}, newElement(document, 'type', {}, 'hvm')))
  // Without ACPI, a guest has no power button.
  domain.appendChild(newElement(document, 'features', {}, newElement(document, 'acpi')))
  writeDetails(domain, { labels: spec.labels, createdAt: new Date() })
  change(domain, { cpus: 1, memoryMiB: 512, ...spec })
  return domain
}

/** Writes the settings into the domain, but for its name. What awaitvm does not model stays as it is. */
export function change(domain: Element, { description, labels, cpus, memoryMiB }: VmChanges): void {
  const document = documentOf(domain)
  const replace = (name: string, text: string, attributes = {}): void => {
    replaceChild(domain, name, newElement(document, name, attributes, text))
  }
  if (description !== undefined) replace('description', description)
  if (labels !== undefined) writeDetails(domain, { ...readDetails(domain), labels })
  if (cpus !== undefined) replace('vcpu', String(cpus))
  if (memoryMiB !== undefined) {
    replace('memory', String(memoryMiB), { unit: 'MiB' })
    replace('currentMemory', String(memoryMiB), { unit: 'MiB' })
  }
}
