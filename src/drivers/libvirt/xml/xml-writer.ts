/** An element that is to be written. */
export interface XmlPart {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly (XmlPart | string)[]
}

/** What may be left out: `undefined` and `false` are not written. */
type Optional<T> = T | undefined | false

/** An element with its attributes and content. */
export const xml = (
  name: string,
  attributes: Readonly<Record<string, Optional<string | number>>> = {},
  ...children: readonly Optional<XmlPart | string>[]
): XmlPart => ({
  name,
  attributes: Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) =>
      value === undefined || value === false ? [] : [[key, String(value)]],
    ),
  ),
  children: children.filter((child) => child !== undefined && child !== false),
})

/** The text of an element; each element in it on a line of its own. */
export function writeXml({ name, attributes, children }: XmlPart, indent = ''): string {
  const start = [name, ...Object.entries(attributes).map(([key, value]) => `${key}='${escapeAttribute(value)}'`)].join(
    ' ',
  )
  if (children.length === 0) return `<${start}/>`
  if (children.some((child) => typeof child === 'string')) {
    const content = children.map((child) => (typeof child === 'string' ? escapeText(child) : writeXml(child, indent)))
    return `<${start}>${content.join('')}</${name}>`
  }
  const deeper = `${indent}  `
  const lines = children.map(
    (child) => `${deeper}${typeof child === 'string' ? escapeText(child) : writeXml(child, deeper)}\n`,
  )
  return `<${start}>\n${lines.join('')}${indent}</${name}>`
}

/** A reader of XML takes a bare carriage return for a line feed. */
export const escapeText = (text: string): string => text.replace(/[&<>\r]/g, escaped)

/** A reader of XML takes bare white space in an attribute for spaces. */
export const escapeAttribute = (text: string): string => text.replace(/[&<>'"\t\n\r]/g, escaped)

const escaped = (character: string): string => names[character] ?? `&#${String(character.charCodeAt(0))};`

const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' }

/** Characters that XML 1.0 does not have, and the carriage return, which libvirt does not keep. */
export const unwritable = /[^\t\n\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u
