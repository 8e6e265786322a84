// `npm run check-host -- URI`: runs the conformance suite on a real host, with VMs of its own making only.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { check } from './check.js'

const usage = `npm run check-host -- URI [--template NAME] [--only SUBJECT,SUBJECT] [--report FILE]

  URI         the host: parallels:, parallels+ssh://me@mac, qmp:///directory, embedded:
  --template  a stopped VM with a Linux guest and tools, which is cloned; without it, what needs a guest is skipped
  --only      the subjects to check: lifecycle, clone, edit, ...
  --report    where the report is written to, besides standard output`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    template: { type: 'string' },
    only: { type: 'string' },
    report: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})
const [uri, ...rest] = positionals
const interruption = new AbortController()

async function main(host: string): Promise<void> {
  const interrupt = (): void => {
    if (interruption.signal.aborted) process.exit(130)
    console.error('ending the check: what it made is taken away; once more, and it is left behind')
    interruption.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string
  }
  const { report, isClean } = await check({
    uri: host,
    template: values.template,
    subjects: values.only?.split(','),
    awaitvm: version,
    signal: interruption.signal,
    say: (line) => {
      console.error(line)
    },
  })
  console.log(report)
  if (values.report !== undefined) await writeFile(values.report, report)
  if (!isClean) process.exitCode = 1
}

if (values.help === true || uri === undefined || rest.length > 0) {
  console.error(usage)
  process.exitCode = values.help === true ? 0 : 2
} else {
  await main(uri).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error))
    process.exitCode = 2
  })
  if (interruption.signal.aborted) process.exitCode = 130
}
