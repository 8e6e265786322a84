import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'

const root = join(import.meta.dirname, '../..')

/** A generated part of a README: the text between `<!-- name -->` and `<!-- /name -->`. */
export class ReadmePart {
  readonly #path: string
  readonly #begin: string
  readonly #end: string

  /** @param file its path in the repository */
  constructor(name: string, file = 'README.md') {
    this.#path = join(root, file)
    this.#begin = `<!-- ${name} -->`
    this.#end = `<!-- /${name} -->`
  }

  /** Undefined if the README is missing, or has no such part. */
  async read(): Promise<string | undefined> {
    return (await this.#split())?.part
  }

  async write(markdown: string): Promise<void> {
    const split = await this.#split()
    if (split === undefined) return
    const { before, after } = split
    const options = await resolveConfig(this.#path)
    const text = await format(`${before}\n\n${markdown}\n\n${after}`, { ...options, filepath: this.#path })
    await writeFile(this.#path, text)
  }

  async #split(): Promise<{ before: string; part: string; after: string } | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => '')
    const from = text.indexOf(this.#begin)
    const to = text.indexOf(this.#end)
    if (from < 0 || to < from) return undefined
    const start = from + this.#begin.length
    return { before: text.slice(0, start), part: text.slice(start, to), after: text.slice(to) }
  }
}

/** The rows of a Markdown table, the heading first, as cells without the backticks. */
export function tableIn(markdown: string): string[][] {
  const [heading = '', , ...lines] = markdown.split('\n').filter((line) => line.startsWith('|'))
  return [heading, ...lines].map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

/** A Markdown table of these lines, the heading first. */
export function markdownTable([heading = [], ...lines]: readonly (readonly string[])[], rule: string): string {
  return [heading, heading.map((_, column) => (column === 0 ? '---' : rule)), ...lines]
    .map((line) => `| ${line.join(' | ')} |`)
    .join('\n')
}
