import { operations, type OperationSpec } from '../../src/operations.js'
import { markdownTable, ReadmePart } from '../support/readme-part.js'

/** The part of the chapter on jobs that has the table. */
export const operationTablePart = new ReadmePart('operations', 'src/job/README.md')

const words = (names: readonly string[] = []): string => names.map((name) => `\`${name}\``).join(', ')

/** The operations that need a state, with what the table of operations says of them: the heading, and a line for each. */
export const operationTable = (): string[][] => [
  ['operation', 'in the states', 'shows', 'leads to', 'can be cancelled', 'times out after'],
  ...Object.entries<OperationSpec>(operations)
    .filter(([, { from }]) => from !== undefined)
    .map(([code, { from, fromKill, fromMemory, through, to, isCancelable, timeoutMs }]) => [
      `\`${code}\``,
      words(from) +
        (fromKill === undefined ? '' : `; with \`mode: 'kill'\` ${words(fromKill)}`) +
        (fromMemory === undefined ? '' : `; with \`memory: true\` ${words(fromMemory)}`),
      words(through === undefined ? [] : [through]),
      words(to === undefined ? [] : [to]),
      isCancelable === true ? 'yes' : '',
      timeoutMs === undefined ? '' : `${String(timeoutMs / 1000)} s`,
    ]),
]

// `npx tsx test/unit/operation-table.ts`, after the operations changed.
if (process.argv[1] === import.meta.filename) await operationTablePart.write(markdownTable(operationTable(), '---'))
