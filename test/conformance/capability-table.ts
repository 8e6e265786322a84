import { operations, type Capability, type OperationCode } from 'awaitvm'
import { features } from '../../src/operations.js'
import { markdownTable, ReadmePart, tableIn } from '../support/readme-part.js'
import { readCapabilityRecords, type HostRecord } from './capability-record.js'

const part = new ReadmePart('capabilities')

const isCapability = (code: OperationCode): boolean => /^(?:server|images|vm|guest|native)\./.test(code)

/** The rows of the table. */
export const capabilities: readonly Capability[] = [
  ...(Object.keys(operations) as OperationCode[]).filter(isCapability),
  ...features,
]

const signs = { offered: '✓', refused: '–', failed: '✗' } as const

/** A table by row and column. */
type Cells = Map<string, Map<string, string>>

/** The table with the cells of the records. Other hosts keep theirs. */
function withRecords(cells: Cells, records: readonly HostRecord[]): Cells {
  const merged: Cells = new Map(capabilities.map((row) => [row, new Map(cells.get(row))]))
  for (const { host, capabilities: found } of records) {
    for (const [capability, outcome] of found) merged.get(capability)?.set(host, signs[outcome])
  }
  return merged
}

function parseTable(markdown: string): Cells {
  const [[, ...hosts] = [], ...lines] = tableIn(markdown)
  return new Map(
    lines.map(([row = '', ...signsOfRow]) => [
      row,
      new Map(hosts.map((host, index) => [host, signsOfRow[index] ?? ''])),
    ]),
  )
}

function printTable(cells: Cells): string {
  const hosts = [...new Set([...cells.values()].flatMap((row) => [...row.keys()]))]
  const lines = [
    ['', ...hosts.map((host) => `\`${host}\``)],
    ...[...cells].map(([row, signsOfRow]) => [`\`${row}\``, ...hosts.map((host) => signsOfRow.get(host) ?? '')]),
  ]
  return markdownTable(lines, ':---:')
}

/** The cells of the README's table that differ from the record. */
export async function differencesFromReadme({ host, capabilities: found }: HostRecord): Promise<string[] | undefined> {
  const table = await part.read()
  if (table === undefined) return undefined
  const cells = parseTable(table)
  return [...found].flatMap(([capability, outcome]) => {
    const told = cells.get(capability)?.get(host) ?? ''
    return told === signs[outcome] ? [] : [`${capability}: the README has "${told}", the run found "${signs[outcome]}"`]
  })
}

/** Prints the table of the last runs, and writes it between the markers of the README. */
async function update(): Promise<void> {
  const told = await part.read()
  const cells: Cells = told === undefined ? new Map() : parseTable(told)
  const table = printTable(withRecords(cells, await readCapabilityRecords()))
  console.log(table)
  await part.write(table)
}

// `npx tsx test/conformance/capability-table.ts`, after a run of the suite.
if (process.argv[1] === import.meta.filename) await update()
