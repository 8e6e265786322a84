import { execFileSync } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Job, type Server, type Vm } from 'awaitvm'
import { beforeEach, expect, test, vi } from 'vitest'
import { Child } from '../support/child-process.js'
import { soon } from '../../src/testing/conformance/deadline.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** The pid of a stopped qemu-img that a process has started. */
async function copierOf(parent: number): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    if (stat.includes(`(qemu-img) T ${parent} `)) return Number(pid)
  }
  throw new Error(`the process ${parent} has no qemu-img that is halted`)
}

/** Another process clones the VM, with a qemu-img that stops before it copies anything. */
async function haltedClone(host: QmpHost): Promise<{ vm: Vm; child: Child; copier: number }> {
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const program = execFileSync('which', ['qemu-img'], { encoding: 'utf8' }).trim()
  const script = `#!/bin/sh\n[ "$1" = convert ] && kill -STOP $$\nexec ${program} "$@"\n`
  await writeFile(join(host.folder, 'qemu-img'), script, { mode: 0o755 })
  const path = process.env['PATH']
  process.env['PATH'] = `${host.folder}:${path}`
  const child = new Child('host-child.ts', [host.uri])
  process.env['PATH'] = path
  await child.printed('ready')
  child.send('clone web-1')
  return { vm, child, copier: await vi.waitFor(() => copierOf(child.pid), soon) }
}

/** The only job that another process works on. */
const jobOfOther = (server: Server): Promise<Job<unknown>['ref']> =>
  vi.waitFor(async () => {
    const [job] = await server.getJobs().unwrap()
    if (job === undefined) throw new Error('it has not been seen')
    return job.ref
  }, soon)

test('a job of another process is listed with its operation, VM and progress, and can be cancelled', async () => {
  await using host = await QmpHost.open()
  const { vm, child, copier } = await haltedClone(host)
  await using _child = child
  const job = await jobOfOther(host.server)
  expect(job).toMatchObject({
    operation: 'vm.clone',
    target: { type: 'vm', id: vm.id, name: 'web-1' },
    status: 'running',
    progress: { phase: 'copying disks' },
  })
  expect(job.progress.percent).toBeLessThan(100)
  await vi.waitFor(() => expect(job.isCancelable).toBe(true), soon)
  const cancelling = job.cancel('not needed any more')
  // qemu-img reacts as soon as it continues.
  await vi.waitFor(async () => {
    expect(/^ShdPnd:\s+(\S+)/m.exec(await readFile(`/proc/${copier}/status`, 'utf8'))?.[1]).not.toMatch(/^0+$/)
  }, soon)
  process.kill(copier, 'SIGCONT')
  await cancelling.unwrap()
  await failureOf(job.wait(), 'JOB_CANCELLED')
  await child.printed('failed clone web-1: JOB_CANCELLED')
  expect(await host.server.getVmList().unwrap()).toEqual([vm])
  expect(await host.server.getJobs().unwrap()).toEqual([])
})

test('a job of another process ends for its followers as it ends there, and can be followed for a while after that', async () => {
  await using host = await QmpHost.open()
  const { child, copier } = await haltedClone(host)
  await using _child = child
  const job = await jobOfOther(host.server)
  process.kill(copier, 'SIGCONT')
  const result = await job.wait()
  await child.printed('did clone web-1')
  const clone = await host.server.getVm('web-1-copy').unwrap()
  expect(result._unsafeUnwrap()).toMatchObject({ id: clone.id, state: 'stopped', config: { name: 'web-1-copy' } })
  expect(job.progress.percent).toBe(100)
  expect(await host.server.attachJob(job.token!).unwrap()).toMatchObject({ id: clone.id })
  expect(await host.server.getJobs().unwrap()).toEqual([])
})

test('the outcome of a job whose process was killed is unknown, and no clone is left of it', async () => {
  await using host = await QmpHost.open()
  const { vm, child, copier } = await haltedClone(host)
  const job = await jobOfOther(host.server)
  await child.kill()
  const error = await failureOf(job.wait(), 'OUTCOME_UNKNOWN')
  expect(error.message).toContain(`the process ${child.pid} did not record its outcome`)
  expect(job.status).toBe('unknown')
  process.kill(copier, 'SIGKILL')
  await using again = await connect(host.uri).unwrap()
  expect(await again.getJobs().unwrap()).toEqual([])
  expect((await again.getVmList().unwrap()).map(({ name }) => name)).toEqual([vm.name])
})

test("a shutdown by another process can't be cancelled from here either, and ends here, too", async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  await guest.ignorePowerButton()
  await using child = new Child('host-child.ts', [host.uri])
  await child.printed('ready')
  child.send('shutdown web-1')
  const job = await jobOfOther(host.server)
  expect(job.operation).toBe('vm.stop')
  await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
  await vm.stop({ mode: 'kill' }).unwrap()
  expect((await job.wait())._unsafeUnwrap()).toBe('stopped')
})

test('a job that is followed ends with the connection', async () => {
  await using host = await QmpHost.open()
  const { child, copier } = await haltedClone(host)
  const server = await connect(host.uri).unwrap()
  const job = await jobOfOther(server)
  await server.close().unwrap()
  await failureOf(job.wait(), 'CONNECTION_FAILED')
  process.kill(copier, 'SIGCONT')
  await child.printed('did clone web-1')
  await child.kill()
})

test('a token that is a path leads nowhere, and a record that is damaged is reported', async () => {
  await using host = await QmpHost.open()
  await failureOf(host.server.attachJob('../vms'), 'INVALID_ARGUMENT')
  const { child, copier } = await haltedClone(host)
  const { token } = await jobOfOther(host.server)
  await child.kill()
  process.kill(copier, 'SIGKILL')
  await writeFile(join(host.directory, 'jobs', `${token!}.json`), '{}')
  await failureOf(host.server.attachJob(token!), 'PROTOCOL_ERROR')
  await failureOf(host.server.getJobs(), 'PROTOCOL_ERROR')
})
