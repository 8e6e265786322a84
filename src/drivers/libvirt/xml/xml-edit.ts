import type { XmlElement } from './xml-tree.js'
import { escapeAttribute, escapeText, writeXml, type XmlPart } from './xml-writer.js'

/**
 * An edit of a document: pieces of its text are replaced, and everything else stays as it is, byte for byte. The elements are
 * those of the same text. Changes within an element that is replaced or removed are lost with it.
 */
export class XmlEdit {
  readonly #source: string
  readonly #pieces: { readonly start: number; readonly end: number; readonly text: string }[] = []
  /** What is added to the end of elements, in order. */
  readonly #added = new Map<XmlElement, XmlPart[]>()

  constructor(source: string) {
    this.#source = source
  }

  /** Replaces all that is in an element by a text. */
  setText(element: XmlElement, text: string): void {
    this.#setContent(element, escapeText(text))
  }

  /** Sets an attribute, or removes it. */
  setAttribute(element: XmlElement, name: string, value: string | undefined): void {
    const { start, end, isEmpty } = this.#startTag(element)
    const tag = this.#source.slice(start, end)
    const found = attributesIn(tag).find((attribute) => attribute.name === name)
    const text = value === undefined ? '' : ` ${name}='${escapeAttribute(value)}'`
    const at = end - (isEmpty ? 2 : 1)
    if (found !== undefined) this.#replace(start + found.start, start + found.end, text)
    else if (value !== undefined) this.#replace(at, at, text)
  }

  /** Puts another element in the place of one. */
  replace(element: XmlElement, part: XmlPart): void {
    this.#replace(element.start, this.#endOf(element), writeXml(part, this.#indentOf(element)))
  }

  /** Removes an element, with the line that it leaves empty. */
  remove(element: XmlElement): void {
    const before = this.#source.slice(0, element.start)
    const spaces = /\n[ \t]*$/.exec(before)?.[0].length ?? 0
    this.#replace(element.start - spaces, this.#endOf(element), '')
  }

  /** Adds an element behind all that is in another one. */
  append(parent: XmlElement, part: XmlPart): void {
    this.#added.set(parent, [...(this.#added.get(parent) ?? []), part])
  }

  /** The text with all changes. */
  get text(): string {
    for (const [parent, parts] of this.#added) this.#appendNow(parent, parts)
    this.#added.clear()
    let at = 0
    let result = ''
    for (const { start, end, text } of this.#pieces.toSorted((a, b) => a.start - b.start)) {
      // It is within a piece that is gone.
      if (start < at) continue
      result += this.#source.slice(at, start) + text
      at = end
    }
    return result + this.#source.slice(at)
  }

  #appendNow(parent: XmlElement, parts: readonly XmlPart[]): void {
    const indent = this.#indentOf(parent)
    const lines = parts.map((part) => `${indent}  ${writeXml(part, `${indent}  `)}\n`).join('')
    const { end, isEmpty } = this.#startTag(parent)
    if (isEmpty) {
      this.#replace(end - 2, end, `>\n${lines}${indent}</${parent.name}>`)
      return
    }
    const tag = this.#source.lastIndexOf('<', this.#endOf(parent) - 1)
    const lineStart = tag - (/[ \t]*$/.exec(this.#source.slice(end, tag))?.[0].length ?? 0)
    const isOnOwnLine = this.#source[lineStart - 1] === '\n'
    if (isOnOwnLine) this.#replace(lineStart, lineStart, lines)
    else this.#replace(tag, tag, `\n${lines}${indent}`)
  }

  #setContent(element: XmlElement, content: string): void {
    const { end, isEmpty } = this.#startTag(element)
    if (isEmpty) this.#replace(end - 2, end, `>${content}</${element.name}>`)
    else this.#replace(end, this.#source.lastIndexOf('<', this.#endOf(element) - 1), content)
  }

  #replace(start: number, end: number, text: string): void {
    this.#pieces.push({ start, end, text })
  }

  /** The parser has no end for an element at the very end of a text with characters of two units. */
  #endOf({ end }: XmlElement): number {
    return Math.min(end, this.#source.length)
  }

  /** The start tag of an element. `>` in an attribute does not end it. */
  #startTag({ start }: XmlElement): { start: number; end: number; isEmpty: boolean } {
    startTag.lastIndex = start
    const tag = startTag.exec(this.#source)?.[0] ?? ''
    return { start, end: start + tag.length, isEmpty: tag.endsWith('/>') }
  }

  #indentOf({ start }: XmlElement): string {
    const lineStart = this.#source.lastIndexOf('\n', start - 1) + 1
    return /^[ \t]*/.exec(this.#source.slice(lineStart, start))?.[0] ?? ''
  }
}

const startTag = /<(?:[^'">]|'[^']*'|"[^"]*")*>/y
const attribute = /\s+([^\s=]+)\s*=\s*(?:'[^']*'|"[^"]*")/g

/** The attributes in a start tag, each with the spaces before it. */
const attributesIn = (tag: string): { name: string; start: number; end: number }[] =>
  [...tag.matchAll(attribute)].map(({ 0: text, 1: name = '', index }) => ({
    name,
    start: index,
    end: index + text.length,
  }))
