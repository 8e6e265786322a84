import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { operations, type Capability, type Feature, type OperationCode } from 'awaitvm'
import { readCapabilityRecords, type HostRecord } from './capability-record.js'

const begin = '<!-- capabilities -->'
const end = '<!-- /capabilities -->'
const readme = join(import.meta.dirname, '../../README.md')

const features = ['vm.clone.linked', 'vm.edit.live', 'server.events.global'] as const satisfies Feature[]
const isCapability = (code: OperationCode): boolean =>
  code.startsWith('server.') || code.startsWith('vm.') || code.startsWith('guest.')
const rows: readonly Capability[] = [...(Object.keys(operations) as OperationCode[]).filter(isCapability), ...features]

const signs = { offered: '✓', refused: '–', failed: '✗' } as const

/** A table by row and column. */
type Cells = Map<string, Map<string, string>>

/** Takes the cells that the records tell of over into the table; other hosts keep theirs. */
function withRecords(cells: Cells, records: readonly HostRecord[]): Cells {
  const merged: Cells = new Map(rows.map((row) => [row, new Map(cells.get(row))]))
  for (const { host, capabilities } of records) {
    for (const [capability, outcome] of capabilities) merged.get(capability)?.set(host, signs[outcome])
  }
  return merged
}

const splitLine = (line: string): string[] =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('`', ''))

function parseTable(markdown: string): Cells {
  const [heading = '', , ...lines] = markdown.trim().split('\n')
  const hosts = splitLine(heading).slice(1)
  return new Map(
    lines.map((line) => {
      const [row = '', ...signsOfRow] = splitLine(line)
      return [row, new Map(hosts.map((host, index) => [host, signsOfRow[index] ?? '']))]
    }),
  )
}

function printTable(cells: Cells): string {
  const hosts = [...new Set([...cells.values()].flatMap((row) => [...row.keys()]))]
  const lines = [
    ['', ...hosts.map((host) => `\`${host}\``)],
    ['---', ...hosts.map(() => ':---:')],
    ...[...cells].map(([row, signsOfRow]) => [`\`${row}\``, ...hosts.map((host) => signsOfRow.get(host) ?? '')]),
  ]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

/** The text of the README between the markers; nothing where there is no README, or no marker in it. */
async function readReadme(): Promise<{ before: string; table: string; after: string } | undefined> {
  const text = await readFile(readme, 'utf8').catch(() => '')
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) return undefined
  const start = from + begin.length
  return { before: text.slice(0, start), table: text.slice(start, to), after: text.slice(to) }
}

/** The cells of the README's table that say something else than the record, as `row: cell, found`. */
export async function differencesFromReadme({ host, capabilities }: HostRecord): Promise<string[] | undefined> {
  const parts = await readReadme()
  if (parts === undefined) return undefined
  const cells = parseTable(parts.table)
  return [...capabilities].flatMap(([capability, outcome]) => {
    const told = cells.get(capability)?.get(host) ?? ''
    return told === signs[outcome] ? [] : [`${capability}: the README has "${told}", the run found "${signs[outcome]}"`]
  })
}

/** Prints the table of the last runs, and writes it between the markers of the README. */
async function update(): Promise<void> {
  const parts = await readReadme()
  const table = printTable(
    withRecords(parts === undefined ? new Map() : parseTable(parts.table), await readCapabilityRecords()),
  )
  console.log(table)
  if (parts !== undefined) await writeFile(readme, `${parts.before}\n\n${table}\n\n${parts.after}`)
}

// `npx tsx test/conformance/capability-table.ts`, after a run of the suite.
if (process.argv[1] === import.meta.filename) await update()
