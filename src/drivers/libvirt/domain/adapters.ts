import type { AdapterNetwork, NetworkAdapterConfig } from '../../../model/vm-config.js'
import { attributeOf, childOf, childrenOf, type XmlElement } from '../xml/xml-tree.js'
import { xml, type XmlPart } from '../xml/xml-writer.js'

/** A network adapter of a domain that awaitvm models. */
export interface Adapter {
  readonly element: XmlElement
  readonly config: NetworkAdapterConfig
}

/** The network adapters of a domain. Those on networks that awaitvm does not model are left out, and no edit touches them. */
export const adaptersOf = (domain: XmlElement): Adapter[] =>
  childrenOf(childOf(domain, 'devices'), 'interface').flatMap((element): Adapter[] => {
    const connection = connectionOf(element)
    const macAddress = attributeOf(childOf(element, 'mac'), 'address')?.toLowerCase()
    return connection === undefined
      ? []
      : [{ element, config: { ...(macAddress !== undefined && { macAddress }), ...connection } }]
  })

function connectionOf(element: XmlElement): NetworkAdapterConfig | undefined {
  const source = childOf(element, 'source')
  switch (attributeOf(element, 'type')) {
    case 'user':
      return { network: 'user', outbound: true }
    case 'bridge': {
      const bridge = attributeOf(source, 'bridge')
      return bridge === undefined ? undefined : { network: { bridge } }
    }
    case 'network': {
      const hostNetwork = attributeOf(source, 'network')
      return hostNetwork === undefined ? undefined : { network: { hostNetwork } }
    }
    default:
      return undefined
  }
}

/** The type of an adapter's element, and the element in it that names the network. */
export function connectionPart(network: AdapterNetwork): { readonly type: string; readonly source?: XmlPart } {
  if (network === 'user') return { type: 'user' }
  if ('bridge' in network) return { type: 'bridge', source: xml('source', { bridge: network.bridge }) }
  if ('hostNetwork' in network) return { type: 'network', source: xml('source', { network: network.hostNetwork }) }
  throw new TypeError('A private network is refused before.')
}

/** The element of a new adapter. */
export function adapterPart({ macAddress, network = 'user' }: NetworkAdapterConfig): XmlPart {
  const { type, source } = connectionPart(network)
  const mac = macAddress === undefined ? undefined : xml('mac', { address: macAddress })
  return xml('interface', { type }, mac, source, xml('model', { type: 'virtio' }))
}
