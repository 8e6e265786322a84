import { DOMParser, XMLSerializer, type Document, type Element } from '@xmldom/xmldom'
import { ProtocolError } from '../../errors.js'

export type { Document, Element }

/** Elements in one another that are read: libvirt itself stops at 256, and a deeper tree would exhaust the stack. */
const maxDepth = 256

/**
 * Parses a document of libvirt's. It has no type declaration, and so no entities of its own.
 *
 * @throws ProtocolError if it is no such document
 */
export function parseXml(text: string): Element {
  const wrong = (reason: string, cause?: unknown): ProtocolError =>
    new ProtocolError({ reason: `libvirt sent XML that can't be read: ${reason}`, cause })
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw wrong('it has a type declaration')
  if (depthOf(text) > maxDepth) throw wrong('it is nested too deeply')
  try {
    const options = {
      onError(_level: string, message: string): void {
        throw new Error(message.slice(0, 200))
      },
    }
    const root = new DOMParser(options).parseFromString(text, 'text/xml').documentElement
    if (root !== null) return root
  } catch (error) {
    throw wrong(error instanceof Error ? error.message.slice(0, 300) : String(error), error)
  }
  throw wrong('it is empty')
}

/** An upper bound of how deeply elements are nested. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (const [tag] of text.matchAll(/<\/?[^\s!?<>][^<>]*>/g)) {
    if (tag.startsWith('</')) depth -= 1
    else if (!tag.endsWith('/>')) depth += 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

export const xmlOf = (element: Element): string => new XMLSerializer().serializeToString(element)

/** Characters that XML 1.0 does not have, and the carriage return, which libvirt does not keep. */
export const unwritable = /[^\t\n\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u

/** The children that are elements, of that name if one is given. */
export const childrenOf = (element: Element | undefined, name?: string): Element[] => {
  const children: Element[] = []
  for (let child = element?.firstChild ?? null; child !== null; child = child.nextSibling) {
    if (child.nodeType === 1 && (name === undefined || child.nodeName === name)) children.push(child as Element)
  }
  return children
}

/** The first element that the names lead to: `childOf(domain, 'os', 'kernel')`. */
export const childOf = (element: Element | undefined, ...names: readonly string[]): Element | undefined =>
  names.reduce<Element | undefined>((parent, name) => childrenOf(parent, name)[0], element)

/** The text in an element; empty if there is no such element. */
export const textOf = (element: Element | undefined): string => element?.textContent ?? ''

/** An attribute; `undefined` if there is none, or no such element. */
export const attributeOf = (element: Element | undefined, name: string): string | undefined =>
  element?.getAttribute(name) ?? undefined

/** A new element, and what is in it: texts and elements. */
export function newElement(
  document: Document,
  name: string,
  attributes: Readonly<Record<string, string | undefined>> = {},
  ...content: readonly (Element | string)[]
): Element {
  const element = document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(attribute, value)
  }
  for (const part of content) {
    element.appendChild(typeof part === 'string' ? document.createTextNode(part) : part)
  }
  return element
}

/** Puts an element in the place of the one of its name, or at the end; `undefined` removes that one. */
export function replaceChild(parent: Element, name: string, element: Element | undefined): void {
  const [old, ...more] = childrenOf(parent, name)
  for (const other of more) parent.removeChild(other)
  if (old === element) return
  if (old !== undefined && element !== undefined) parent.replaceChild(element, old)
  else if (old !== undefined) parent.removeChild(old)
  else if (element !== undefined) parent.appendChild(element)
}

/** The document that an element is of. */
export function documentOf(element: Element): Document {
  if (element.ownerDocument === null) throw new TypeError('The element is of no document')
  return element.ownerDocument
}

/** A new document with one element. */
export const newDocument = (name: string): Element => parseXml(`<${name}/>`)
