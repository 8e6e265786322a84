import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import type { FollowingTask } from '../../src/registry/job-follower.js'
import type { KeptTask } from '../../src/registry/kept-job.js'
import { HostError } from '../../src/errors.js'
import { Membership } from '../../src/registry/membership.js'
import { JobLedger } from '../../src/registry/job-ledger.js'
import { soon } from '../../src/testing/conformance/deadline.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

const hourMs = 3_600_000

const setClock = (byMs: number): void => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + byMs })
}

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test.for([hourMs, -hourMs])('the uptime of an embedded VM after the clock was set by %s ms', async (byMs) => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'web-1', memoryMiB: 16 }).unwrap()
  await vm.start().unwrap()
  setClock(byMs)
  const { uptimeMs } = await vm.getStatistics().unwrap()
  expect(uptimeMs).toBeGreaterThan(0)
  expect(uptimeMs).toBeLessThan(hourMs / 2)
})

test.for([hourMs, -hourMs])('the uptime of a QEMU after the clock was set by %s ms', async (byMs, context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await vm.start().unwrap()
  setClock(byMs)
  const { uptimeMs } = await vm.getStatistics().unwrap()
  expect(uptimeMs).toBeGreaterThan(0)
  expect(uptimeMs).toBeLessThan(hourMs / 2)
})

test('a clock that is set forward again and again hinders no QEMU', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  let now = Date.now()
  vi.spyOn(Date, 'now').mockImplementation(() => (now += hourMs))
  const vm = await host.createVm()
  await host.boot(vm)
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  await vm.stop().unwrap()
  expect(vm.state).toBe('stopped')
})

/** A job of a ledger that lasts until others can see it. */
async function lastingJob(ledger: JobLedger): Promise<string> {
  let show: (token: string) => void
  const shown = new Promise<string>((resolve) => (show = resolve))
  await ledger.keep(
    taskWith((token) => show(token)),
    () => shown,
  )
  return await shown
}

const taskWith = (setToken: (token: string) => void): KeptTask & FollowingTask => ({
  operation: 'vm.start',
  target: undefined,
  progress: () => {},
  cancelWith: () => () => {},
  setToken,
  reported: {},
  isCancelable: false,
  isAskedToStop: false,
  noteCancel: () => undefined,
  requestCancel: () => Promise.resolve(false),
})

test('the outcome of a job is still told after the clock was set forward', async () => {
  const root = mkdtempSync(join(tmpdir(), 'awaitvm-clock-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const explain = (error: unknown) =>
    new HostError({ reason: String(error), native: { driver: 'qmp', message: String(error) } })
  const directory = { root, member: new Membership(root) }
  const ledger = () => new JobLedger(directory, 'qmp', explain, () => Promise.resolve(false))
  const [one, other] = [ledger(), ledger()]
  const token = await lastingJob(one)
  // What both are done with is removed when the next job ends.
  const folder = join(root, 'jobs')
  const leftovers = Array.from({ length: 20 }, (_, index) => `left-${index}`)
  for (const name of leftovers) {
    writeFileSync(join(folder, name), '')
    utimesSync(join(folder, name), 0, 0)
  }
  setClock(hourMs)
  await lastingJob(other)
  await vi.waitFor(() => expect(readdirSync(folder).filter((name) => leftovers.includes(name))).toEqual([]), soon)
  await expect(
    other.follow(
      token,
      taskWith(() => {}),
    ),
  ).resolves.toMatchObject({ answer: token })
})
