import { attributeOf, childOf, childrenOf, readXml, textOf } from './xml/xml-tree.js'

/** What the hypervisor of a host can do. */
export interface Capabilities {
  /** The processors of the host, and of its VMs: `'x86_64'`. */
  readonly architecture: string
  /** The type of a new domain: `'kvm'`, `'qemu'`, `'test'`. */
  readonly domainType: string
  /** `'kvm'`, or `'tcg'` for emulation; absent if this kind of host has no such choice. */
  readonly accelerator: 'kvm' | 'tcg' | undefined
}

/** Reads the answer of libvirt. A domain uses the processor itself if the host can do that. */
export function capabilitiesOf(xml: string): Capabilities {
  const root = readXml(xml, "libvirt's description of the host")
  const architecture = textOf(childOf(root, 'host', 'cpu', 'arch')) ?? ''
  const guests = childrenOf(root, 'guest').map((guest) => childOf(guest, 'arch'))
  const native = guests.find((arch) => attributeOf(arch, 'name') === architecture) ?? guests[0]
  const types = childrenOf(native, 'domain').map((domain) => attributeOf(domain, 'type') ?? '')
  const domainType = types.includes('kvm') ? 'kvm' : (types[0] ?? 'qemu')
  const accelerators = { kvm: 'kvm', qemu: 'tcg' } as const
  const isOfQemu = domainType === 'kvm' || domainType === 'qemu'
  return { architecture, domainType, accelerator: isOfQemu ? accelerators[domainType] : undefined }
}
