/** Runs all benchmarks, or the named ones: `npm run bench -- [NAME...] [--json FILE]`. */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { ask } from './support/child.js'
import { compile } from './support/compile.js'
import { figuresSchema, type Figure } from './support/figure.js'
import { table } from './support/table.js'

const benchmarks = [
  'job',
  'heap',
  'call',
  'batch',
  'batch-heap',
  'first-line',
  'fifty',
  'qemu',
  'guest',
  'directory',
  'fork',
  'idle',
]

/** True if all ran and met their goals. */
async function run(names: readonly string[], json: string | undefined): Promise<boolean> {
  await using compiled = await compile()
  const figures: Figure[] = []
  let isComplete = true
  for (const name of names) {
    console.log(`${name} ...`)
    try {
      figures.push(...v.parse(figuresSchema, await ask(compiled.path(name))))
    } catch (error) {
      console.error(error)
      isComplete = false
    }
  }
  console.log(`\n${table(figures)}`)
  if (json !== undefined) await writeFile(json, `${JSON.stringify(figures, null, 2)}\n`)
  return isComplete && figures.every(({ ok }) => ok)
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } })
const unknown = positionals.filter((name) => !benchmarks.includes(name))
if (unknown.length > 0) {
  console.error(`No benchmark is called ${unknown.join(', ')}. There are: ${benchmarks.join(', ')}.`)
  process.exitCode = 1
} else if (!(await run(positionals.length > 0 ? positionals : benchmarks, values.json))) {
  process.exitCode = 1
}
