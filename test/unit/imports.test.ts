import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise, type ICruiseResult } from 'dependency-cruiser'
import { afterEach, beforeEach, expect, test } from 'vitest'
// @ts-expect-error The configuration of a tool is plain JavaScript.
import configuration from '../../dependency-cruiser.config.js'

const root = join(import.meta.dirname, '../..')
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-imports-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** The rules that are broken by the sources below a folder, each with the file that breaks it. */
async function brokenRules(baseDir: string): Promise<string[]> {
  const { forbidden, options } = configuration
  const { output } = await cruise(['src'], { ...options, baseDir, ruleSet: { forbidden }, validate: true })
  const { violations } = (output as ICruiseResult).summary
  return violations.map(({ rule, from }) => `${rule.name}: ${from}`).sort()
}

/** Writes sources, by their paths. */
async function project(files: Readonly<Record<string, string>>): Promise<void> {
  await writeFile(join(folder, 'tsconfig.json'), '{ "compilerOptions": { "module": "nodenext" } }')
  for (const [path, source] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), source)
  }
}

test('the sources keep the rules', async () => {
  expect(await brokenRules(root)).toEqual([])
})

test('a cycle of types is refused', async () => {
  await project({
    'src/job/job.ts': "import type { Task } from './task.js'\nexport interface Job { task: Task }",
    'src/job/task.ts': "import type { Job } from './job.js'\nexport interface Task { job: Job }",
  })
  expect(await brokenRules(folder)).toEqual(['no-cycle: src/job/job.ts'])
})

test.each([
  ['src/network/adapter.ts', 'src/driver/driver.ts', 'imports-of-parts-go-down'],
  ['src/errors/lookup.ts', 'src/registry/claim.ts', 'imports-of-base-go-down'],
  ['src/driver/host-work.ts', 'src/guest-agent/guest-exec.ts', 'imports-of-driver-kit-go-down'],
  ['src/drivers/qmp/disks/images.ts', 'src/vm.ts', 'imports-of-drivers-go-down'],
  ['src/drivers/qmp/driver.ts', 'src/drivers/embedded/driver.ts', 'drivers-are-apart'],
  ['src/job/job.ts', 'src/drivers/qmp/driver.ts', 'jobs-know-no-driver'],
  ['src/vm.ts', 'src/batch/batch.ts', 'imports-of-facades-go-down'],
  ['src/testing/create-job.ts', 'src/index.ts', 'imports-of-testing-go-down'],
])('%s does not import %s', async (from, to, rule) => {
  const path = '../'.repeat(from.split('/').length - 2) || './'
  await project({
    [from]: `import type { Thing } from '${path}${to.replace('src/', '').replace('.ts', '.js')}'\nexport type Other = Thing`,
    [to]: 'export type Thing = number',
  })
  expect(await brokenRules(folder)).toContain(`${rule}: ${from}`)
})

test('a folder without a layer is told', async () => {
  await project({
    'src/clock.ts': 'export const now = 1',
    'src/sounds/sound.ts': "import { now } from '../clock.js'\nexport const then = now",
  })
  expect(await brokenRules(folder)).toEqual(['every-file-has-a-layer: src/sounds/sound.ts'])
})
