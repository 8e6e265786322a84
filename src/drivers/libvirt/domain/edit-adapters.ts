import { isDeepStrictEqual } from 'node:util'
import type { NetworkAdapterConfig } from '../../../model/vm-config.js'
import type { XmlEdit } from '../xml/xml-edit.js'
import { childOf, type XmlElement } from '../xml/xml-tree.js'
import { xml } from '../xml/xml-writer.js'
import { adapterPart, connectionPart } from './adapters.js'
import type { Domain } from './read-domain.js'

/**
 * Gives a domain the wanted adapters, in order. An adapter keeps its element, with what awaitvm does not model of it, and its address
 * unless it gets another one.
 */
export function editAdapters(
  document: XmlEdit,
  { root, adapters }: Domain,
  wanted: readonly NetworkAdapterConfig[],
): void {
  const devices = childOf(root, 'devices')
  if (devices === undefined) return
  for (const [index, adapter] of wanted.entries()) {
    const present = adapters[index]
    if (present === undefined) document.append(devices, adapterPart(adapter))
    else editAdapter(document, present.element, present.config, adapter)
  }
  for (const { element } of adapters.slice(wanted.length)) document.remove(element)
}

function editAdapter(
  document: XmlEdit,
  element: XmlElement,
  before: NetworkAdapterConfig,
  { macAddress, network = 'user' }: NetworkAdapterConfig,
): void {
  const [mac, source] = [childOf(element, 'mac'), childOf(element, 'source')]
  if (macAddress !== undefined && macAddress !== before.macAddress) {
    if (mac === undefined) document.append(element, xml('mac', { address: macAddress }))
    else document.setAttribute(mac, 'address', macAddress)
  }
  if (isDeepStrictEqual(network, before.network)) return
  const { type, source: wanted } = connectionPart(network)
  document.setAttribute(element, 'type', type)
  if (source !== undefined) {
    if (wanted === undefined) document.remove(source)
    else document.replace(source, wanted)
  } else if (wanted !== undefined) document.append(element, wanted)
}
