import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { within } from '../../src/testing/conformance/deadline.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

const foreign = ['Payroll', "Ann's Ubuntu", 'Template', 'awaitvm-check-00000000-of-an-earlier-run']

/** A host with VMs of others: one runs, one has a snapshot. */
async function inhabitedHost(settings?: Parameters<typeof PrlctlDouble.make>[0]): Promise<PrlctlDouble> {
  const double = await PrlctlDouble.make(settings)
  for (const name of foreign) await double.prlctlOutput('create', name)
  await double.prlctlOutput('start', 'Payroll', '--wait')
  await double.prlctlOutput('snapshot', "Ann's Ubuntu", '--name', 'clean')
  // The first query advances the state of the double.
  await double.prlctlOutput('list', '-a')
  return double
}

/** What the host keeps of its VMs, in memory and on disk, but for the mark of a clone. */
async function everythingOf(double: PrlctlDouble): Promise<unknown> {
  await double.prlctlOutput('list', '-a')
  const { machines, pending } = JSON.parse(await readFile(join(double.state, 'registry.json'), 'utf8')) as {
    machines: Record<string, { lockedUntil: number; name: string }>
    pending: unknown[]
  }
  const files = await Promise.all(
    ['vms', 'run'].map(async (folder) => {
      const entries = await readdir(join(double.state, folder), { recursive: true, withFileTypes: true })
      return Promise.all(
        entries
          .map((entry) => ({ path: join(entry.parentPath, entry.name), isFile: entry.isFile() }))
          .sort((a, b) => (a.path < b.path ? -1 : 1))
          .map(async ({ path, isFile }) => [path, isFile ? await readFile(path, 'base64') : '']),
      )
    }),
  )
  const records = Object.entries(machines).map(([id, { lockedUntil: _, ...machine }]) => [id, machine])
  return { records, pending, files }
}

/** Runs `npm run check-host` as in a terminal. */
function runCheck(...args: readonly string[]): {
  untilLine(pattern: RegExp): Promise<void>
  interrupt(): void
  ended: Promise<{ code: unknown; report: string; said: readonly string[] }>
} {
  const child = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said: string[] = []
  const lines = createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
  const ended = Promise.all([once(child, 'close'), text(child.stdout)]).then(([[code], report]) => ({
    code: code as unknown,
    report,
    said,
  }))
  return {
    async untilLine(pattern) {
      while (!said.some((line) => pattern.test(line))) await Promise.race([once(lines, 'line'), ended])
    },
    interrupt: () => void child.kill('SIGINT'),
    ended,
  }
}

const minutes = 60_000

test('the VMs of others are left as they are, and its own are gone', { timeout: 5 * minutes }, async () => {
  await using double = await inhabitedHost()
  const before = await everythingOf(double)
  const run = runCheck(double.uri, '--template', 'Template', '--only', 'connect and info,clone')
  const { code, report, said } = await within(run.ended, () => 'the end of the check', 5 * minutes)
  expect(said.filter((line) => line.startsWith('failed'))).toEqual([])
  expect(code).toBe(0)
  expect(await everythingOf(double)).toEqual(before)
  expect(await double.processes()).toEqual([])

  expect(report).toContain('| host | Parallels Desktop 26.3.0-57392, edition pro, licence active |')
  expect(report).toContain('| template | one with a guest |')
  expect(report).toContain('| VMs of others | 4, as before |')
  expect(report).toMatch(/\| cases \| \d+ passed, 0 failed, \d+ skipped \|/)
  expect(report).toMatch(/\| `vm\.clone` \| passed \| \d+ \|/)
  expect(report).toMatch(/\| `vm\.clone\.linked` \| passed \| \d+ \|/)
  expect(report).toContain('| `vm.console` | not offered, as it says |')
  expect(report).toContain(
    '| `vm.unregister` | left out: a VM that the host does not know could not be taken away |  |',
  )
  expect(report).toContain('| `vm.suspend` | not checked |  |')
  for (const name of [...foreign, double.folder, userInfo().homedir]) expect(report).not.toContain(name)
})

test('without a template, cases that need a guest are skipped, with the reason', { timeout: 5 * minutes }, async () => {
  await using double = await inhabitedHost()
  const before = await everythingOf(double)
  await double.set({ failures: { create: { text: 'No room in /Users/ann/VMs of Payroll', times: 1 } } })
  const run = runCheck(double.uri, '--only', 'lifecycle')
  const { code, report } = await within(run.ended, () => 'the end of the check', 5 * minutes)
  expect(code).toBe(1)
  expect(await everythingOf(double)).toEqual(before)
  expect(report).toContain('| `vm.pause` | skipped: no template VM was named')
  expect(report).toMatch(/- \d+: no template VM was named/)
  // The one failure, without private data.
  expect(report).toContain('1 failed')
  expect(report).toContain('No room in PATH of VM')
  expect(report).not.toMatch(/\bann\b|Payroll/)
})

test('an interruption removes everything, and reports the outcomes so far', { timeout: 5 * minutes }, async () => {
  await using double = await inhabitedHost()
  const before = await everythingOf(double)
  const run = runCheck(double.uri, '--template', 'Template', '--only', 'clone,snapshots,jobs')
  await run.untilLine(/^passed clone/)
  run.interrupt()
  const { code, report } = await within(run.ended, () => 'the end of the check', 5 * minutes)
  expect(code).toBe(130)
  expect(await everythingOf(double)).toEqual(before)
  expect(await double.processes()).toEqual([])
  expect(report).toMatch(/\| cases \| .*, interrupted \|/)
  expect(report).toMatch(/- \d+: The test run was aborted by the user/)
})

test('an interruption stops the copying of the template', { timeout: minutes }, async () => {
  await using double = await inhabitedHost({ delays: { clone: 600_000 } })
  const before = await everythingOf(double)
  const run = runCheck(double.uri, '--template', 'Template')
  await run.untilLine(/^cloning Template: \d/)
  run.interrupt()
  expect((await within(run.ended, () => 'the end of the check', minutes)).code).toBe(130)
  expect(await everythingOf(double)).toEqual(before)
  expect(await double.processes()).toEqual([])
})

test('a missing template or host is reported, and nothing is made', { timeout: minutes }, async () => {
  await using double = await inhabitedHost()
  const before = await everythingOf(double)
  const missing = await runCheck(double.uri, '--template', 'Nobody').ended
  expect(missing.code).toBe(2)
  expect(missing.said.join('\n')).toContain('Nobody')
  expect(missing.report).toBe('')
  expect((await runCheck('parallels:?prlctl=/nowhere/prlctl').ended).code).toBe(2)
  expect((await runCheck().ended).code).toBe(2)
  expect(await everythingOf(double)).toEqual(before)
})
