import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'vitest'

const program = join(import.meta.dirname, '../../support/promises-aplus-run.ts')
const node = ['--import', 'tsx', '--unhandled-rejections=none', program]

test.concurrent.for(['then', 'unwrap'])('Promises/A+ holds for job.%s', async (method, { expect }) => {
  const { stdout } = await promisify(execFile)(process.execPath, [...node, method])
  const { passes, failures } = JSON.parse(stdout) as { passes: number; failures: number }
  console.log(`Promises/A+ for job.${method}: ${passes} passed, ${failures} failed`)
  expect({ passes, failures }).toEqual({ passes: 872, failures: 0 })
})
