import { parallelsError } from '../../../src/drivers/parallels/parallels-errors.js'
import { ParallelsFailure } from '../../../src/drivers/parallels/parallels-failure.js'
import { sdkErrors, type SdkErrorKind } from '../../../src/drivers/parallels/sdk-errors.js'
import { markdownTable, ReadmePart } from '../../support/readme-part.js'

/** The part of the chapter with the table. */
export const errorTablePart = new ReadmePart('parallels-errors', 'src/drivers/parallels/FROM-PRLSDKAPI.md')

/** The error codes of a failed start of a running VM, and of a failed query. */
function codesOf(kind: SdkErrorKind): string[] {
  const failure = new ParallelsFailure(kind, { driver: 'parallels', message: 'x' })
  const known = { vm: 'id', path: 'path', state: 'running', expected: ['stopped'] } as const
  return [
    parallelsError(failure, { operation: 'vm.start', ...known }).code,
    parallelsError(failure, { operation: 'vm.getState', ...known }).code,
  ]
}

/** The table of the SDK's errors: the heading, and a row for each. */
export const errorTable = (): string[][] => [
  ['`PRL_ERR_…`', 'number', 'awaitvm'],
  ...sdkErrors.map(({ name, number = 0, kind }) => {
    const [ofChange = '', ofQuestion = ''] = codesOf(kind)
    const codes = ofChange === ofQuestion ? `\`${ofChange}\`` : `\`${ofChange}\`, of a question \`${ofQuestion}\``
    return [`\`${name}\``, `\`0x${number.toString(16)}\``, codes]
  }),
]

async function update(): Promise<void> {
  const table = markdownTable(errorTable(), '---')
  console.log(table)
  await errorTablePart.write(table)
}

// `npx tsx test/unit/parallels/error-table.ts`, after the errors changed.
if (process.argv[1] === import.meta.filename) await update()
