import type { Job, JobRef, Vm } from 'awaitvm'
import { createSimulatedServer, type SimulatedServer, type SimulatedServerOptions } from 'awaitvm/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ConsoleReader } from '../../../src/testing/conformance/console-reader.js'
import { EventLog } from '../../../src/testing/conformance/event-log.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

afterEach(() => {
  vi.useRealTimers()
})

type Operation = (vm: Vm) => Job<unknown>

/** A VM whose operations take 100 ms, except look-ups. */
async function slowVm(
  state: 'stopped' | 'running',
  options: SimulatedServerOptions = {},
): Promise<{ simulated: SimulatedServer; vm: Vm; clock: SimulatedServer['clock'] }> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state }], latency: 100, ...options })
  const finding = simulated.server.getVm('web-1').unwrap()
  await simulated.clock.advance(100)
  return { simulated, vm: await finding, clock: simulated.clock }
}

describe('while it takes time', () => {
  test.for<[string, 'stopped' | 'running', Operation, string]>([
    ['start', 'stopped', (vm) => vm.start(), 'starting'],
    ['stop', 'running', (vm) => vm.stop(), 'stopping'],
    ['kill', 'running', (vm) => vm.stop({ mode: 'kill' }), 'stopping'],
    ['pause', 'running', (vm) => vm.pause(), 'pausing'],
    ['suspend', 'running', (vm) => vm.suspend(), 'suspending'],
    ['reset', 'running', (vm) => vm.reset(), 'resetting'],
    ['restart', 'running', (vm) => vm.restart(), 'resetting'],
    ['clone', 'running', (vm) => vm.clone({ name: 'copy' }), 'cloning'],
    ['a snapshot', 'running', (vm) => vm.createSnapshot({ name: 'now' }), 'snapshotting'],
    ['an edit', 'running', (vm) => vm.edit({ description: 'x' }), 'running'],
  ])('%s of a %s VM shows it, and progress', async ([, state, call, through]) => {
    const { vm, clock } = await slowVm(state)
    const job = call(vm)
    await clock.advance(75)
    expect(vm.state).toBe(through)
    expect([job.status, job.progress.percent]).toEqual(['running', 75])
    await clock.advance(25)
    expect(job.retCode).toBe('SUCCESS')
    expect(vm.state).not.toBe(through === 'running' ? 'editing' : through)
  })

  test.for<[string, 'stopped' | 'running', Operation]>([
    ['start', 'stopped', (vm) => vm.start()],
    ['stop', 'running', (vm) => vm.stop()],
    ['restart', 'running', (vm) => vm.restart()],
    ['suspend', 'running', (vm) => vm.suspend()],
    ['clone', 'running', (vm) => vm.clone({ name: 'copy' })],
    ['a snapshot', 'running', (vm) => vm.createSnapshot({ name: 'now' })],
    ['exec', 'running', (vm) => vm.guest.exec(['true'])],
  ])('%s of a %s VM can be cancelled, and leaves no trace', async ([, state, call]) => {
    const { simulated, vm, clock } = await slowVm(state)
    const job = call(vm)
    await clock.advance(50)
    expect(job.isCancelable).toBe(true)
    await job.cancel('enough').unwrap()
    expect((await failureOf(job, 'JOB_CANCELLED')).reason).toBe('enough')
    expect(simulated.vm('web-1').state).toBe(state)
    const listing = [simulated.server.getVmList(), vm.getSnapshotTree()] as const
    await clock.advance(1000)
    expect((await listing[0].unwrap()).map(({ name }) => name)).toEqual(['web-1'])
    expect(await listing[1].unwrap()).toEqual([])
    expect(vm.state).toBe(state)
  })

  test.for<[string, Operation]>([
    ['pause', (vm) => vm.pause()],
    ['reset', (vm) => vm.reset()],
    ['kill', (vm) => vm.stop({ mode: 'kill' })],
    ['an edit', (vm) => vm.edit({ description: 'x' })],
    ['getState', (vm) => vm.getState()],
  ])('%s ends well, whether or not it is cancelled', async ([name, call]) => {
    const { vm, clock } = await slowVm('running')
    const job = call(vm)
    const cancelling = job.cancel()
    await clock.advance(100)
    if (name === 'kill') await cancelling
    else await failureOf(cancelling, 'JOB_NOT_CANCELABLE')
    await job
  })

  test('a creation that was cancelled makes nothing, and its name stays free', async () => {
    const { simulated, clock } = await slowVm('stopped')
    const job = simulated.server.createVm({ name: 'new' })
    await clock.advance(99)
    await job.cancel().unwrap()
    const again = simulated.server.createVm({ name: 'new' })
    await clock.advance(100)
    expect(again.retCode).toBe('SUCCESS')
  })

  test('operations of one VM are done one after another, of several at once', async () => {
    const { simulated, vm, clock } = await slowVm('stopped')
    const making = simulated.server.createVm({ name: 'web-2' })
    await clock.advance(100)
    const other = await making.unwrap()
    const jobs = [vm.start(), vm.pause(), vm.resume(), other.start()]
    await clock.advance(100)
    expect(jobs.map(({ status }) => status)).toEqual(['finished', 'running', 'running', 'finished'])
    await clock.advance(200)
    expect(await Promise.all(jobs).then((results) => results.every((result) => result.isOk()))).toBe(true)
  })

  test('a place in line that is given up at any moment goes to the next operation', async () => {
    for (let turns = 0; turns < 20; turns += 1) {
      const { simulated, vm, clock } = await slowVm('running', { latency: { 'vm.edit': 100 } })
      const [first, second, third] = [vm.edit({ description: '1' }), vm.edit({ description: '2' }), vm.pause()]
      // At the moment at which the first operation ends, and some turns later.
      simulated.onExec(async ({ sleep }) => {
        await sleep(100)
        for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
        void second.cancel()
        return {}
      })
      void vm.guest.exec(['cancel'])
      await clock.advance(200)
      expect([first.retCode, third.retCode]).toEqual(['SUCCESS', 'SUCCESS'])
      expect(['SUCCESS', 'JOB_CANCELLED']).toContain(second.retCode)
    }
  })

  test('an operation ends if the guest powers off during it', async () => {
    const { simulated, vm, clock } = await slowVm('running')
    const job = vm.createSnapshot({ name: 'now' })
    await clock.advance(50)
    simulated.vm('web-1').powerOff()
    // A snapshot of a stopped VM is possible, so trying again makes sense.
    await failureOf(job, 'RESOURCE_BUSY')
    expect(vm.state).toBe('stopped')
  })

  test('an edit keeps what the guest writes during it, on the disk that it was written to', async () => {
    const { simulated, vm, clock } = await slowVm('running', {
      vms: [{ name: 'web-1', state: 'running', disks: [{ sizeMiB: 1 }] }],
      latency: { 'vm.edit': 100 },
    })
    const console = new ConsoleReader(vm.console())
    const job = vm.edit({ description: 'x', disks: [...vm.config.disks, { sizeMiB: 1 }] })
    await console.ask('write 5a', 'disk 5A\r\n')
    await clock.advance(100)
    await job.unwrap()
    await console.ask('read', 'disk 5A\r\n')
    const swap = vm.edit({ disks: vm.config.disks.toReversed() })
    await clock.advance(100)
    await swap.unwrap()
    await console.ask('read', 'disk 00\r\n')
    await simulated[Symbol.asyncDispose]()
  })

  test('of two operations that take one name, the faster one gets it', async () => {
    const { simulated, clock } = await slowVm('stopped', { latency: { 'server.createVm': 100 } })
    simulated.faults.add({ operation: 'server.createVm', kind: 'slow', latency: 200, times: 1 })
    const [slow, fast] = [simulated.server.createVm({ name: 'wanted' }), simulated.server.createVm({ name: 'wanted' })]
    await clock.advance(200)
    await failureOf(slow, 'ALREADY_EXISTS')
    await fast.unwrap()
  })

  test('a latency may be random, and differ by operation', async () => {
    const { simulated, vm, clock } = await slowVm('stopped', { latency: { 'vm.start': [50, 150] } })
    const begin = clock.now
    const times: number[] = []
    for (let count = 0; count < 20; count += 1) {
      const job = vm.start()
      const startedAt = clock.now
      while (job.retCode === undefined && (await clock.next()));
      times.push(clock.now - startedAt)
      await vm.stop({ mode: 'kill' }).unwrap()
    }
    expect(Math.min(...times)).toBeGreaterThanOrEqual(50)
    expect(Math.max(...times)).toBeLessThanOrEqual(150)
    expect(new Set(times).size).toBeGreaterThan(5)
    expect(clock.now - begin).toBe(times.reduce((sum, time) => sum + time, 0))
    await simulated[Symbol.asyncDispose]()
  })
})

describe('jobs that the host keeps', () => {
  const tokenOf = (job: JobRef<unknown>): string => {
    if (job.token === undefined) expect.fail('it has no token')
    return job.token
  }

  test('outlive the connection that began them', async () => {
    const { simulated, vm, clock } = await slowVm('stopped', { latency: { 'vm.start': 100 } })
    const job = vm.start()
    const token = tokenOf(job)
    await clock.advance(25)
    await simulated.server.close().unwrap()
    await failureOf(job, 'OUTCOME_UNKNOWN')

    const server = simulated.connect()
    const [found] = await server.getJobs().unwrap()
    expect(found?.token).toBe(token)
    expect(found?.progress.percent).toBe(25)
    await clock.advance(75)
    expect(await found!.unwrap()).toBe('running')
    expect(await server.getJobs().unwrap()).toEqual([])
    expect(await server.attachJob(token).unwrap()).toBe('running')
  })

  test('can be cancelled by another connection', async () => {
    const { simulated, vm, clock } = await slowVm('stopped', { latency: { 'vm.start': 100 } })
    const job = vm.start()
    const attached = simulated.connect().attachJob(tokenOf(job))
    await clock.advance(50)
    expect(attached.progress).toMatchObject({ percent: 50, phase: 'starting' })
    await attached.cancel().unwrap()
    await failureOf(attached, 'JOB_CANCELLED')
    await failureOf(job, 'JOB_CANCELLED')
  })

  test('are listed once for the connection that began them', async () => {
    const { simulated, vm } = await slowVm('stopped', { latency: { 'vm.start': 100 } })
    const job = vm.start()
    expect((await simulated.server.getJobs().unwrap()).map(({ id }) => id)).toEqual([job.id])
  })

  test('are kept for a while after their end, and no longer', async () => {
    const { simulated, vm, clock } = await slowVm('stopped', { latency: { 'vm.edit': 1 } })
    const first = vm.edit({ description: '0' })
    for (let count = 1; count <= 1000; count += 1) void vm.edit({ description: String(count) })
    await clock.advance(1001)
    await failureOf(simulated.server.attachJob(tokenOf(first)), 'INVALID_ARGUMENT')
  })
})

describe('on a real clock', () => {
  test('fake timers move the host together with the timeouts of jobs', async () => {
    vi.useFakeTimers()
    const { server } = createSimulatedServer({ vms: 1, clock: 'real', latency: { 'vm.start': 1000 } })
    const vm = await server.getVm('vm-1').unwrap()
    const impatient = vm.start({ timeoutMs: 500 })
    await vi.advanceTimersByTimeAsync(500)
    expect(impatient.retCode).toBe('TIMEOUT')
    const patient = vm.start({ timeoutMs: 1500 })
    await vi.advanceTimersByTimeAsync(1000)
    expect(patient.retCode).toBe('SUCCESS')
    expect(vi.getTimerCount()).toBe(0)
    await server.close().unwrap()
  })

  test('a host without connections has no timer, and catches up', async () => {
    vi.useFakeTimers()
    const simulated = createSimulatedServer({ vms: 1, clock: 'real', latency: { 'vm.start': 1000 } })
    const job = (await simulated.server.getVm('vm-1').unwrap()).start()
    await simulated.server.close().unwrap()
    expect(job.retCode).toBe('OUTCOME_UNKNOWN')
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(5000)
    const vm = await simulated.connect().getVm('vm-1').unwrap()
    await vi.advanceTimersByTimeAsync(1000)
    expect(await vm.getState().unwrap()).toBe('running')
    await simulated[Symbol.asyncDispose]()
  })

  test('a connection that is closed while it is lost leaves no timer to the others', async () => {
    vi.useFakeTimers()
    const simulated = createSimulatedServer({
      vms: 1,
      clock: 'real',
      faults: [{ operation: 'vm.start', kind: 'lostConnection', forMs: 1000, tells: true }],
    })
    const other = simulated.connect()
    const job = (await simulated.server.getVm('vm-1').unwrap()).start()
    expect([job.status, vi.getTimerCount()]).toEqual(['unknown', 1])
    await simulated.server.close().unwrap()
    expect([job.retCode, vi.getTimerCount()]).toEqual(['OUTCOME_UNKNOWN', 0])
    await other.close().unwrap()
  })

  test('timestamps are those of this machine', async () => {
    const { server } = createSimulatedServer({ clock: 'real' })
    const before = Date.now()
    const { config } = await server.createVm({ name: 'web-1' }).unwrap()
    expect(config.createdAt!.getTime()).toBeGreaterThanOrEqual(before)
    expect(config.createdAt!.getTime()).toBeLessThanOrEqual(Date.now())
  })
})

test('timestamps of records, events, snapshots and calls are those of the virtual clock', async () => {
  const { server, clock, calls } = createSimulatedServer({ now: new Date('2030-05-05T00:00:00Z') })
  const log = new EventLog(server.events())
  await clock.advance(1000)
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  await clock.advance(1000)
  const { createdAt } = await vm.createSnapshot({ name: 'now' }).unwrap()
  await vm.start().unwrap()
  await clock.advance(5000)
  const { uptimeMs, takenAt } = await vm.getStatistics().unwrap()
  await log.close()
  const second = (count: number): Date => new Date(Date.UTC(2030, 4, 5, 0, 0, count))
  expect(vm.config.createdAt).toEqual(second(1))
  expect(log.events[0]?.at).toEqual(second(1))
  expect(createdAt).toEqual(second(2))
  expect([uptimeMs, takenAt]).toEqual([5000, second(7)])
  expect(calls.at(-1)?.at).toEqual(second(7))
})

test('a restart and a kill that are both cancelled leave the VM running', async () => {
  const simulated = createSimulatedServer({
    vms: [{ name: 'web-1', state: 'running' }],
    latency: { 'vm.restart': 40, 'vm.stop': 40 },
  })
  const vm = await simulated.server.getVm('web-1').unwrap()
  const restarting = vm.restart()
  expect(vm.state).toBe('resetting')
  const killing = vm.stop({ mode: 'kill' })
  expect(vm.state).toBe('stopping')
  await restarting.cancel().unwrap()
  await killing.cancel().unwrap()
  expect([vm.state, await vm.getState().unwrap()]).toEqual(['running', 'running'])
  await simulated[Symbol.asyncDispose]()
})

test('a VM that somebody starts while it is being deleted stays, and the deletion says so', async () => {
  const simulated = createSimulatedServer({
    vms: [{ name: 'web-1', state: 'running' }],
    latency: { 'vm.delete': 40 },
  })
  const { server, clock } = simulated
  const vm = await server.getVm('web-1').unwrap()
  simulated.vm('web-1').powerOff()
  const deleting = vm.delete()
  simulated.faults.add({ operation: 'vm.getStatistics', kind: 'interference', change: 'start' })
  await vm.getStatistics()
  await clock.advance(100)
  expect((await deleting)._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_STATE', state: 'running' })
  expect(await vm.getState().unwrap()).toBe('running')
  await simulated[Symbol.asyncDispose]()
})

test.each(['powerOff', 'crash'] as const)('a kill of a VM that ends by %s before has succeeded', async (end) => {
  const { simulated, vm, clock } = await slowVm('running')
  const killing = vm.stop({ mode: 'kill' })
  await clock.advance(50)
  simulated.vm('web-1')[end]()
  await clock.advance(50)
  expect([await killing.unwrap(), vm.state]).toEqual(['kill', 'stopped'])
  await simulated[Symbol.asyncDispose]()
})
