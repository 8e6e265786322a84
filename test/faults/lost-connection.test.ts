import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Job } from 'awaitvm'
import { batch, connect, type Server, type Vm, type VmState } from 'awaitvm'
import { createSimulatedServer, type SimulatedServer } from 'awaitvm/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { openResources } from '../../src/testing/conformance/open-resources.js'
import { uncaughtIn } from '../support/uncaught.js'

/** An operation, the state that it begins in, and how to see that the host has done it. */
interface Subject {
  readonly from: 'stopped' | 'running'
  readonly begin: (server: Server, vm: Vm, options: { signal?: AbortSignal }) => Job<unknown>
  readonly isDone: (simulated: SimulatedServer) => Promise<boolean>
}

const stateIs = (state: VmState) => async (simulated: SimulatedServer) => simulated.vm('web-1').state === state
const exists = (name: string) => async (simulated: SimulatedServer) =>
  (await onAnother(simulated, (server) => server.getVmList({ name }).unwrap())).length === 1

const subjects: Readonly<Record<string, Subject>> = {
  'server.createVm': {
    from: 'stopped',
    begin: (server, _vm, options) => server.createVm({ name: 'web-2' }, options),
    isDone: exists('web-2'),
  },
  'vm.start': { from: 'stopped', begin: (_server, vm, options) => vm.start(options), isDone: stateIs('running') },
  'vm.stop': { from: 'running', begin: (_server, vm, options) => vm.stop(options), isDone: stateIs('stopped') },
  'vm.pause': { from: 'running', begin: (_server, vm, options) => vm.pause(options), isDone: stateIs('paused') },
  'vm.suspend': { from: 'running', begin: (_server, vm, options) => vm.suspend(options), isDone: stateIs('suspended') },
  'vm.restart': { from: 'running', begin: (_server, vm, options) => vm.restart(options), isDone: stateIs('running') },
  'vm.clone': {
    from: 'running',
    begin: (_server, vm, options) => vm.clone({ ...options, name: 'web-2' }),
    isDone: exists('web-2'),
  },
  'vm.createSnapshot': {
    from: 'running',
    begin: (_server, vm, options) => vm.createSnapshot({ ...options, name: 'before' }),
    isDone: (simulated) =>
      onAnother(simulated, async (server) => {
        const vm = await server.getVm('web-1').unwrap()
        return (await vm.getSnapshotTree().unwrap()).length === 1
      }),
  },
  'vm.delete': {
    from: 'stopped',
    begin: (_server, vm, options) => vm.delete(options),
    isDone: async (simulated) => !(await exists('web-1')(simulated)),
  },
}

/** Asks by a connection that nothing happens to. */
async function onAnother<T>(simulated: SimulatedServer, ask: (server: Server) => Promise<T>): Promise<T> {
  const server = simulated.connect()
  try {
    return await ask(server)
  } finally {
    await server.close().unwrap()
  }
}

const latency = Object.fromEntries(Object.keys(subjects).map((operation) => [operation, 100]))

interface Situation {
  readonly simulated: SimulatedServer
  readonly server: Server
  readonly job: Job<unknown>
  /** The connection breaks; the host tells afterwards, or not. */
  lose(tells: boolean): Promise<void>
}

/** The operation under way, so many of its 100 milliseconds done. */
async function begun({ from, begin }: Subject, afterMs: number, signal?: AbortSignal): Promise<Situation> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state: from }], latency })
  const { server, clock, faults } = simulated
  const vm = await server.getVm('web-1').unwrap()
  const job = begin(server, vm, signal === undefined ? {} : { signal })
  await clock.advance(afterMs)
  const lose = async (tells: boolean): Promise<void> => {
    const remove = faults.add({ operation: 'server.getInfo', kind: 'lostConnection', forMs: 1000, tells })
    const asking = server.getInfo()
    await turn()
    remove()
    void asking
  }
  return { simulated, server, job, lose }
}

let uncaught: Promise<unknown[]>
let endWatch: () => void
let resources: readonly string[]

beforeEach(() => {
  resources = openResources()
  uncaught = uncaughtIn(() => new Promise<void>((resolve) => (endWatch = resolve)))
})
afterEach(async () => {
  endWatch()
  expect(await uncaught).toEqual([])
  expect(openResources()).toEqual(resources)
})

describe.each(Object.keys(subjects))('%s', (operation) => {
  const subject = subjects[operation]!

  describe.each([0, 25, 60, 99])('under way for %i of its 100 ms', (afterMs) => {
    test('is unknown while the connection is lost, and tells the truth when the host does', async () => {
      const { signal } = new AbortController()
      const { simulated, job, lose } = await begun(subject, afterMs, signal)
      await lose(true)
      expect([job.status, job.result]).toEqual(['unknown', undefined])
      await simulated.clock.advance(500)
      expect([job.status, job.result]).toEqual(['unknown', undefined])
      await simulated.clock.advance(600)
      expect([job.status, job.retCode]).toEqual(['finished', 'SUCCESS'])
      expect(await subject.isDone(simulated)).toBe(true)
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      await simulated[Symbol.asyncDispose]()
    })

    test('ends as unknown if the host does not tell, and was done all the same', async () => {
      const { signal } = new AbortController()
      const { simulated, job, lose } = await begun(subject, afterMs, signal)
      await lose(false)
      await simulated.clock.advance(1100)
      const error = await failureOf(job, 'OUTCOME_UNKNOWN')
      expect(job.status).toBe('unknown')
      expect(error.operation).toBe(operation)
      expect(error.hint).toBeTruthy()
      expect(await subject.isDone(simulated)).toBe(true)
      expect(getEventListeners(signal, 'abort')).toHaveLength(0)
      await simulated[Symbol.asyncDispose]()
    })

    test('can not be cancelled while the connection is lost, and says so', async () => {
      const { simulated, job, lose } = await begun(subject, afterMs)
      await lose(true)
      await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
      await simulated.clock.advance(1100)
      expect(job.retCode).toBe('SUCCESS')
      await simulated[Symbol.asyncDispose]()
    })

    test('is unknown if the server is closed while the connection is lost', async () => {
      const { simulated, server, job, lose } = await begun(subject, afterMs)
      await lose(true)
      await server.close().unwrap()
      await failureOf(job, 'OUTCOME_UNKNOWN')
      expect(job.status).toBe('unknown')
      await simulated[Symbol.asyncDispose]()
    })
  })

  test('that was never sent ends with CONNECTION_FAILED, and the host has done nothing', async () => {
    const simulated = createSimulatedServer({
      vms: [{ name: 'web-1', state: subject.from }],
      faults: [{ kind: 'lostConnection', moment: 'before', call: 2 }],
    })
    const { server } = simulated
    const vm = await server.getVm('web-1').unwrap()
    const error = await failureOf(subject.begin(server, vm, {}), 'CONNECTION_FAILED')
    expect(error.retryable).toBe(true)
    expect(simulated.vm('web-1').state).toBe(subject.from)
    if (operation !== 'vm.restart') expect(await subject.isDone(simulated)).toBe(false)
    await simulated[Symbol.asyncDispose]()
  })
})

test('a job that waits in line when the connection is lost is sent when its turn comes, or says that it was not', async () => {
  const simulated = createSimulatedServer({ vms: 2, latency: { 'vm.start': 100 }, maxConcurrentOperations: 1 })
  const { server, clock, faults } = simulated
  const [first, second] = await server.getVmList().unwrap()
  faults.add({ operation: 'vm.start', call: 1, kind: 'lostConnection', done: true, forMs: 1000, tells: true })
  const jobs = [first!.start(), second!.start()]
  await clock.advance(50)
  expect(jobs.map(({ status }) => status)).toEqual(['unknown', 'running'])
  expect(jobs[1]?.progress.phase).toBe('queued')
  await clock.advance(2000)
  expect(jobs.map(({ retCode }) => retCode)).toEqual(['SUCCESS', 'SUCCESS'])
  await simulated[Symbol.asyncDispose]()
})

test('waiters that give up, and listeners, are not kept by a job that is unknown', async () => {
  const { simulated, job, lose } = await begun(subjects['vm.clone']!, 30)
  await lose(true)
  const controller = new AbortController()
  const waiting = job.wait({ signal: controller.signal })
  controller.abort()
  expect((await waiting)._unsafeUnwrapErr().code).toBe('WAIT_ABORTED')
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  const progress = job[Symbol.asyncIterator]()
  await progress.next()
  await progress.return?.()
  await simulated.clock.advance(1100)
  expect(job.retCode).toBe('SUCCESS')
  await simulated[Symbol.asyncDispose]()
})

test('of a batch, what was in flight is unknown, what was not sent is tried again, and nothing is lost', async () => {
  const simulated = createSimulatedServer({ vms: 100, latency: { 'vm.start': 100 } })
  const { server, clock, faults } = simulated
  const vms = await server.getVmList().unwrap()
  const starting = batch(vms, (vm) => vm.start(), {
    concurrency: 10,
    retry: { attempts: 50, backoff: { initialMs: 1, maxMs: 5 } },
  })
  await clock.advance(150)
  faults.add({ operation: 'server.getInfo', times: 1, kind: 'lostConnection', forMs: 500 })
  void server.getInfo()
  while (starting.status === 'running') {
    await turn()
    await clock.advance(10)
  }
  const { outcomes, counts } = await starting.unwrap()
  expect(outcomes).toHaveLength(100)
  expect(counts).toMatchObject({ succeeded: 90, failed: 10, cancelled: 0 })
  const unknown = outcomes.filter(({ result }) => result.isErr())
  expect(unknown.map(({ result }) => result._unsafeUnwrapErr().code)).toEqual(Array(10).fill('OUTCOME_UNKNOWN'))
  // The host has started them all the same: nobody could say.
  expect(await server.getVmList({ state: 'running' }).unwrap()).toHaveLength(100)
  await simulated[Symbol.asyncDispose]()
})

test('a connection that breaks while it is made ends with CONNECTION_FAILED, and can be tried again', async () => {
  const simulated = createSimulatedServer({ latency: { connect: 100 } })
  simulated.faults.add({ operation: 'connect', times: 1, kind: 'lostConnection', moment: 'before' })
  const error = await failureOf(connect(simulated.uri), 'CONNECTION_FAILED')
  expect(error.retryable).toBe(true)
  const connecting = connect(simulated.uri)
  await simulated.clock.advance(100)
  await (await connecting.unwrap()).close().unwrap()
  await simulated[Symbol.asyncDispose]()
})

test('10,000 jobs whose connection breaks at random all end, and leave nothing', async () => {
  const simulated = createSimulatedServer({
    vms: 50,
    seed: 7,
    latency: { 'vm.start': [1, 50], 'vm.stop': [1, 50], 'vm.suspend': [1, 50] },
    faults: [
      { operation: 'vm.start', probability: 0.02, kind: 'lostConnection', done: true, tells: true, forMs: 30 },
      { operation: 'vm.suspend', probability: 0.02, kind: 'lostConnection', done: false, forMs: 30 },
      { operation: 'vm.stop', probability: 0.02, kind: 'lostConnection', moment: 'before', forMs: 10 },
    ],
  })
  const { server, clock } = simulated
  const vms = await server.getVmList().unwrap()
  const controller = new AbortController()
  const { signal } = controller
  const codes = new Map<string, number>()
  for (let round = 0; round < 67; round += 1) {
    const jobs = vms.flatMap((vm) => [vm.start({ signal }), vm.suspend({ signal }), vm.stop({ mode: 'kill', signal })])
    while (jobs.some(({ finishedAt }) => finishedAt === undefined)) await clock.advance(25)
    for (const { retCode, status } of jobs) {
      codes.set(retCode!, (codes.get(retCode!) ?? 0) + 1)
      expect(status).toBe(retCode === 'OUTCOME_UNKNOWN' ? 'unknown' : 'finished')
    }
  }
  expect([...codes.values()].reduce((sum, count) => sum + count)).toBe(10_050)
  expect([...codes.keys()].sort()).toEqual(['CONNECTION_FAILED', 'INVALID_STATE', 'OUTCOME_UNKNOWN', 'SUCCESS'])
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  expect(await server.getJobs().unwrap()).toEqual([])
  await simulated[Symbol.asyncDispose]()
})
