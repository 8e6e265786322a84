import { parseXml, XmlElement, XmlError, type XmlDocument } from '@rgrove/parse-xml'
import { ProtocolError } from '../../../errors.js'

export type { XmlElement }

/** libvirt's own limit for a string. */
const maxLength = 4 * 2 ** 20

/**
 * The root element of a document. A document type is refused, so that there are no entities but XML's five, and nothing that the
 * text names is ever opened.
 *
 * @param what what the text is, for errors: `the definition of the VM "web-1"`
 */
export function readXml(text: string, what: string): XmlElement {
  if (text.length > maxLength) {
    throw unreadable(what, `has ${String(text.length)} characters, and may have ${String(maxLength)}`)
  }
  const { root, children } = parse(text, what)
  if (root === null) throw unreadable(what, 'has no element')
  if (children.some(({ type }) => type === 'doctype'))
    throw unreadable(what, 'has a document type, which libvirt never writes')
  return root
}

function parse(text: string, what: string): XmlDocument {
  try {
    return parseXml(text, { includeOffsets: true, preserveDocumentType: true })
  } catch (error) {
    if (error instanceof XmlError) throw unreadable(what, `is no XML: ${error.message.split('\n', 1)[0] ?? ''}`, error)
    if (error instanceof RangeError) throw unreadable(what, 'has elements within elements without end', error)
    throw error
  }
}

const unreadable = (what: string, problem: string, cause?: Error): ProtocolError =>
  new ProtocolError({
    reason: `${what} ${problem}`,
    hint: 'Read it with virsh; what has written it must be mended.',
    native: { driver: 'libvirt', message: problem },
    cause,
  })

/** The elements of this name in an element. */
export const childrenOf = (parent: XmlElement | undefined, name: string): XmlElement[] =>
  elementsIn(parent).filter((child) => child.name === name)

/** The elements in an element. */
export const elementsIn = (parent: XmlElement | undefined): XmlElement[] =>
  parent?.children.filter((child): child is XmlElement => child instanceof XmlElement) ?? []

/** The element at the end of a path of names, each the first of its name. */
export function childOf(parent: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  let element = parent
  for (const name of path) {
    element = element?.children.find((child): child is XmlElement => child instanceof XmlElement && child.name === name)
  }
  return element
}

/** An attribute of an element; `undefined` if either is absent. */
export const attributeOf = (element: XmlElement | undefined, name: string): string | undefined =>
  element?.attributes[name]

/** The text of an element without the spaces around it; `undefined` if there is no element, or no text in it. */
export function textOf(element: XmlElement | undefined): string | undefined {
  const text = element?.text.trim()
  return text === '' ? undefined : text
}
