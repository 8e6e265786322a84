import {
  HostError,
  InsufficientResourcesError,
  JobCancelledError,
  ResourceBusyError,
  SnapshotNotFoundError,
  type Server,
  type Vm,
  type VmState,
} from 'awaitvm'
import { createSimulatedServer, type Fault, type SimulatedServer, type SimulatedServerOptions } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { EventLog } from '../../../src/testing/conformance/event-log.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

interface Simulated extends Pick<SimulatedServer, 'server' | 'clock' | 'faults' | 'calls'> {
  readonly simulated: SimulatedServer
  readonly vm: Vm
  /** What the host says, asked on a connection that nothing happens to. */
  stateOnHost(): Promise<VmState>
}

async function simulatedVm(
  state: 'stopped' | 'running',
  faults: readonly Fault[],
  options: SimulatedServerOptions = {},
): Promise<Simulated> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state }, { name: 'web-2' }], ...options })
  const { server, clock, faults: list, calls } = simulated
  const finding = server.getVm('web-1').unwrap()
  while (await clock.next());
  const vm = await finding
  for (const fault of faults) list.add(fault)
  const stateOnHost = async (): Promise<VmState> => simulated.vm('web-1').state
  return { simulated, server, clock, faults: list, calls, vm, stateOnHost }
}

const start = async (server: Server, name: string): Promise<string> => {
  const job = (await server.getVm(name).unwrap()).start()
  await job
  return job.retCode!
}

const busy = (): ResourceBusyError => new ResourceBusyError({ reason: 'somebody has it' })

describe('a fault meets calls', () => {
  const outcomesOf = async (fault: Partial<Fault>, count = 4): Promise<string[]> => {
    const { vm } = await simulatedVm('running', [{ kind: 'error', error: busy, ...fault } as Fault])
    const outcomes: string[] = []
    for (let call = 0; call < count; call += 1) {
      const job = vm.getStatistics()
      await job
      outcomes.push(job.retCode === 'SUCCESS' ? '.' : 'x')
    }
    return outcomes
  }

  test.for<[string, Partial<Fault>]>([
    ['xxxx', {}],
    ['xxxx', { operation: 'vm.getStatistics', vm: 'web-1' }],
    ['....', { operation: 'vm.start' }],
    ['....', { vm: 'web-2' }],
    ['.x..', { call: 2 }],
    ['xx..', { times: 2 }],
    ['.xx.', { call: 2, times: 2 }],
    ['....', { probability: 0 }],
    ['xxxx', { probability: 1 }],
  ])('%s: %o', async ([expected, fault]) => {
    expect((await outcomesOf(fault)).join('')).toBe(expected)
  })

  test('by a probability, always the same ones with the same seed', async () => {
    const [first, second] = [await outcomesOf({ probability: 0.3 }, 200), await outcomesOf({ probability: 0.3 }, 200)]
    expect(second).toEqual(first)
    const met = first.filter((outcome) => outcome === 'x').length
    expect(met).toBeGreaterThan(30)
    expect(met).toBeLessThan(90)
  })

  test('by the id of a VM, and by the name of one that is created', async () => {
    const { vm, server, faults } = await simulatedVm('stopped', [])
    faults.add({ kind: 'error', error: busy, operation: 'vm.start', vm: vm.id })
    faults.add({ kind: 'error', error: busy, operation: 'server.createVm', vm: 'new-1' })
    await failureOf(vm.start(), 'RESOURCE_BUSY')
    await failureOf(server.createVm({ name: 'new-1' }), 'RESOURCE_BUSY')
    await server.createVm({ name: 'new-2' }).unwrap()
  })

  test('until it is removed', async () => {
    const { vm, faults } = await simulatedVm('stopped', [])
    const remove = faults.add({ kind: 'error', error: busy })
    await failureOf(vm.getState(), 'RESOURCE_BUSY', 'HOST_ERROR')
    remove()
    remove()
    await vm.getState().unwrap()
    faults.add({ kind: 'error', error: busy })
    faults.clear()
    await vm.getState().unwrap()
  })

  test('by their input, or a part of it', async () => {
    const { server, vm, faults } = await simulatedVm('running', [
      { operation: 'vm.stop', input: { mode: 'kill' }, kind: 'error', error: busy },
      { operation: 'vm.edit', input: { changes: { cpus: 2 } }, kind: 'error', error: busy },
      { operation: 'server.createVm', input: { spec: { cpus: 4 } }, times: 1, kind: 'error', error: busy },
      { operation: 'guest.exec', input: { command: ['make', 'test'] }, kind: 'error', error: busy },
    ])
    await failureOf(vm.guest.exec(['make', 'test'], { cwd: '/' }), 'RESOURCE_BUSY')
    expect((await vm.guest.exec(['make']).unwrap()).exitCode).toBeDefined()
    await failureOf(vm.stop({ mode: 'kill' }), 'RESOURCE_BUSY')
    await vm.stop().unwrap()
    await failureOf(vm.edit({ cpus: 2, memoryMiB: 64 }), 'RESOURCE_BUSY')
    await vm.edit({ cpus: 3 }).unwrap()
    await server.createVm({ name: 'other' }).unwrap()
    await failureOf(server.createVm({ name: 'big', cpus: 4 }), 'RESOURCE_BUSY')
    faults.clear()
  })

  test('by their number, counted from when it was added', async () => {
    const { server, faults } = await simulatedVm('stopped', [])
    expect(await start(server, 'web-1')).toBe('SUCCESS')
    faults.add({ kind: 'error', error: busy, operation: 'vm.start', call: 1 })
    expect(await start(server, 'web-2')).toBe('RESOURCE_BUSY')
  })
})

describe('a fault that is wrong is refused at once', () => {
  test.for<[string, unknown]>([
    ['fault', null],
    ['fault.kind', {}],
    ['fault.kind', { kind: 'explode' }],
    ['fault.operation', { kind: 'hang', operation: 'vm.begin' }],
    ['fault.call', { kind: 'hang', call: 0 }],
    ['fault.input', { kind: 'hang', input: { mode: 'kill' } }],
    ['fault.input', { kind: 'hang', operation: 'vm.start', input: {} }],
    ['fault.input', { kind: 'hang', operation: 'vm.stop', input: 'kill' }],
    ['fault.input.moed', { kind: 'hang', operation: 'vm.stop', input: { moed: 'kill' } }],
    ['fault.times', { kind: 'hang', times: 1.5 }],
    ['fault.probability', { kind: 'hang', probability: 2 }],
    ['fault.error', { kind: 'error' }],
    ['fault.error', { kind: 'error', error: new Error('no VmError') }],
    [
      'fault.error',
      { kind: 'error', operation: 'vm.start', error: new SnapshotNotFoundError({ reason: 'start has none' }) },
    ],
    ['fault.latency', { kind: 'slow' }],
    ['fault.steps', { kind: 'slow', latency: 10, steps: 0 }],
    ['fault.change', { kind: 'interference', change: 'explode' }],
    ['fault.kind', { kind: 'interference', change: 'stop', operation: 'server.getInfo' }],
    ['fault.moment', { kind: 'crash', moment: 'before' }],
    ['fault.forMs', { kind: 'lostConnection', forMs: -1 }],
    ['fault.done', { kind: 'lostConnection', moment: 'before', done: true }],
    ['fault.vm', { kind: 'hang', operation: 'server.getInfo', vm: 'web-1' }],
    ['fault.sometimes', { kind: 'hang', sometimes: true }],
  ])('%s: %o', ([path, fault]) => {
    const { faults } = createSimulatedServer()
    expect(() => faults.add(fault as Fault)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path }))
  })
})

describe('an error', () => {
  test('comes before anything is done, with its own message', async () => {
    const error = new InsufficientResourcesError({ reason: 'the host has no memory left', hint: 'Stop other VMs.' })
    const { vm, server, stateOnHost } = await simulatedVm(
      'stopped',
      [{ operation: 'vm.start', kind: 'error', error }],
      {
        latency: { 'vm.start': 1000 },
      },
    )
    const log = new EventLog(server.events())
    const found = await failureOf(vm.start(), 'INSUFFICIENT_RESOURCES')
    expect(found.message).toBe('Cannot start VM "web-1": the host has no memory left. Stop other VMs.')
    expect(found.target).toEqual(vm.target)
    expect(await stateOnHost()).toBe('stopped')
    await log.close()
    expect(log.events).toEqual([])
  })

  test('that says "cancelled" becomes a HostError, since nobody asked for it', async () => {
    const error = new JobCancelledError({ reason: 'Operation canceled' })
    const { vm } = await simulatedVm('stopped', [{ kind: 'error', error, operation: 'vm.start' }])
    expect((await failureOf(vm.start(), 'HOST_ERROR')).native).toEqual({
      driver: 'simulated',
      code: 'JOB_CANCELLED',
      message: 'Operation canceled',
    })
  })

  test('of one instance serves many calls, each with its own target', async () => {
    const { server } = await simulatedVm('stopped', [{ operation: 'vm.start', kind: 'error', error: busy() }])
    const vms = await server.getVmList().unwrap()
    const errors = await Promise.all(vms.map((vm) => failureOf(vm.start(), 'RESOURCE_BUSY')))
    expect(errors.map(({ target }) => target?.name)).toEqual(['web-1', 'web-2'])
  })
})

describe('a hang', () => {
  test('lasts until it is cancelled, and then leaves the VM as it was', async () => {
    const { vm, clock, stateOnHost } = await simulatedVm('stopped', [{ operation: 'vm.start', kind: 'hang' }])
    const job = vm.start()
    await clock.advance(86_400_000)
    expect([job.status, vm.state, await stateOnHost()]).toEqual(['running', 'starting', 'starting'])
    await job.cancel().unwrap()
    await failureOf(job, 'JOB_CANCELLED')
    expect([vm.state, await stateOnHost()]).toEqual(['stopped', 'stopped'])
  })

  test('is ended by timeoutMs', async () => {
    const { vm, stateOnHost } = await simulatedVm('stopped', [{ operation: 'vm.start', kind: 'hang' }])
    await failureOf(vm.start({ timeoutMs: 10 }), 'TIMEOUT')
    expect(await stateOnHost()).toBe('stopped')
  })

  test('of an operation that cannot be cancelled lasts for ever, and others wait in line', async () => {
    const { vm, clock } = await simulatedVm('running', [{ operation: 'vm.pause', kind: 'hang', times: 1 }])
    const job = vm.pause()
    await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
    const second = vm.suspend()
    const third = vm.reset()
    await clock.advance(1000)
    expect([second.status, third.status]).toEqual(['running', 'running'])
    for (const waiting of [second, third]) {
      await waiting.cancel().unwrap()
      await failureOf(waiting, 'JOB_CANCELLED')
    }
    expect(job.status).toBe('running')
    await failureOf(vm.pause({ timeoutMs: 10 }), 'TIMEOUT')
  })

  test('of a shutdown leaves the guest running when it is cancelled, and a kill does not wait for it', async () => {
    const { vm } = await simulatedVm('running', [{ operation: 'vm.stop', kind: 'hang', times: 2 }])
    const first = vm.stop()
    expect(await vm.getState().unwrap()).toBe('stopping')
    await first.cancel().unwrap()
    expect(await vm.getState().unwrap()).toBe('running')
    const second = vm.stop()
    await vm.stop({ mode: 'kill' }).unwrap()
    await second.unwrap()
    expect(vm.state).toBe('stopped')
  })
})

describe('a slow operation', () => {
  test('reports progress in steps, with any latency of the host', async () => {
    const { vm, clock } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'slow', latency: 100, steps: 5 },
    ])
    const seen: number[] = []
    const job = vm.start({ onProgress: ({ percent }) => seen.push(percent) })
    await clock.advance(99)
    expect(job.progress).toMatchObject({ percent: 80, phase: 'starting' })
    await clock.advance(1)
    await job.unwrap()
    expect(seen).toEqual([0, 20, 40, 60, 80, 100])
  })
})

test('a cancel that is refused lets the operation go on', async () => {
  const { vm, clock } = await simulatedVm('stopped', [{ operation: 'vm.start', kind: 'refuseCancel' }], {
    latency: { 'vm.start': 100 },
  })
  const job = vm.start()
  await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
  await clock.advance(100)
  await job.unwrap()
  expect(vm.state).toBe('running')
})

describe('interference', () => {
  test.for<[Extract<Fault, { kind: 'interference' }>['change'], 'stopped' | 'running', string, VmState]>([
    ['start', 'stopped', 'INVALID_STATE', 'running'],
    ['stop', 'running', 'INVALID_STATE', 'stopped'],
    ['suspend', 'running', 'INVALID_STATE', 'suspended'],
    ['pause', 'running', 'INVALID_STATE', 'paused'],
    ['resume', 'running', 'SUCCESS', 'running'],
  ])('%s of a %s VM', async ([change, state, code, left]) => {
    const operation = state === 'stopped' ? 'vm.start' : 'vm.sendKeys'
    const { vm, stateOnHost } = await simulatedVm(state, [{ operation, kind: 'interference', change }])
    const job = state === 'stopped' ? vm.start() : vm.sendKeys('x')
    await job
    expect(job.retCode).toBe(code)
    expect([vm.state, await stateOnHost()]).toEqual([left, left])
  })

  test.each(['stopped', 'running'] as const)('deletes a %s VM', async (state) => {
    const { vm, server } = await simulatedVm(state, [{ kind: 'interference', change: 'delete', operation: 'vm.edit' }])
    await failureOf(vm.edit({ description: 'x' }), 'VM_NOT_FOUND')
    expect((await server.getVmList().unwrap()).map(({ name }) => name)).toEqual(['web-2'])
  })
})

describe('a crash', () => {
  test('during an operation makes it fail, and is reported with its message', async () => {
    const { vm, server, clock } = await simulatedVm(
      'running',
      [{ operation: 'vm.createSnapshot', kind: 'crash', message: 'kernel panic' }],
      { latency: { 'vm.createSnapshot': 100 } },
    )
    const log = new EventLog(server.events({ types: ['state'] }))
    const job = vm.createSnapshot({ name: 'now' })
    await clock.advance(50)
    expect((await failureOf(job, 'RESOURCE_BUSY')).reason).toBe('its guest crashed: kernel panic')
    expect(await vm.getState().unwrap()).toBe('crashed')
    expect(await vm.getSnapshotTree().unwrap()).toEqual([])
    await log.close()
    expect(log.states).toEqual(['snapshotting', 'crashed'])
    expect(log.events.at(-1)).toMatchObject({ reason: 'crash', message: 'kernel panic' })
  })

  test('during a start leaves the VM crashed', async () => {
    const { vm } = await simulatedVm('stopped', [{ operation: 'vm.start', kind: 'crash', times: 1 }])
    await failureOf(vm.start(), 'HOST_ERROR')
    expect(vm.state).toBe('crashed')
    await vm.start().unwrap()
  })

  test('after an operation lets the operation succeed', async () => {
    const { vm, clock } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'crash', moment: 'after', afterMs: 500 },
    ])
    await vm.start().unwrap()
    await clock.advance(499)
    expect(vm.state).toBe('running')
    await clock.advance(1)
    expect(vm.state).toBe('crashed')
  })

  test('of a VM that does not run has no effect', async () => {
    const { vm } = await simulatedVm('stopped', [{ operation: 'vm.edit', kind: 'crash' }])
    await vm.edit({ description: 'x' }).unwrap()
    expect(vm.state).toBe('stopped')
  })
})

describe('a lost connection', () => {
  const latency = { 'vm.start': 100 }

  test('before anything was sent ends with CONNECTION_FAILED, and the next call goes through', async () => {
    const { vm, stateOnHost } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'lostConnection', moment: 'before', times: 1 },
    ])
    const error = await failureOf(vm.start(), 'CONNECTION_FAILED')
    expect(error.retryable).toBe(true)
    expect(await stateOnHost()).toBe('stopped')
    await vm.start().unwrap()
  })

  test.each([
    [true, 'running'],
    [false, 'stopped'],
  ] as const)('in flight, the operation done: %s, ends with OUTCOME_UNKNOWN', async (done, left) => {
    const { vm, stateOnHost, calls } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'lostConnection', done },
    ])
    const job = vm.start()
    await failureOf(job, 'OUTCOME_UNKNOWN')
    expect(job.status).toBe('unknown')
    expect(await stateOnHost()).toBe(left)
    expect(await vm.getState().unwrap()).toBe(left)
    expect(calls.at(-2)?.outcome).toBe('OUTCOME_UNKNOWN')
  })

  test('that comes back and tells makes the status unknown until then', async () => {
    const { vm, clock } = await simulatedVm(
      'stopped',
      [{ operation: 'vm.start', kind: 'lostConnection', done: true, forMs: 60, tells: true }],
      { latency },
    )
    const job = vm.start()
    expect(job.status).toBe('unknown')
    await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
    await failureOf(vm.getState(), 'CONNECTION_FAILED')
    await clock.advance(59)
    expect(job.status).toBe('unknown')
    await clock.advance(1)
    expect(job.status).toBe('running')
    expect(vm.state).toBe('starting')
    await clock.advance(40)
    expect([job.status, job.retCode, vm.state]).toEqual(['finished', 'SUCCESS', 'running'])
  })

  test('that comes back after the operation has ended tells how it ended', async () => {
    const { vm, clock, server } = await simulatedVm(
      'stopped',
      [{ operation: 'vm.start', kind: 'lostConnection', done: true, forMs: 1000, tells: true }],
      { latency },
    )
    const log = new EventLog(server.events())
    const job = vm.start()
    await clock.advance(999)
    expect([job.status, vm.state]).toEqual(['unknown', 'starting'])
    await clock.advance(1)
    expect(job.retCode).toBe('SUCCESS')
    await log.close()
    // What happened during the outage is reported as one change.
    expect(log.events).toMatchObject([
      { type: 'state', state: 'starting', previous: 'stopped' },
      { type: 'state', state: 'running', previous: 'starting' },
    ])
  })

  test('that comes back and tells that nothing was done ends with CONNECTION_FAILED', async () => {
    const { vm, clock } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'lostConnection', forMs: 10, tells: true, times: 1 },
    ])
    const job = vm.start()
    await clock.advance(0)
    expect(job.status).toBe('unknown')
    await clock.advance(10)
    expect((await failureOf(job, 'CONNECTION_FAILED')).retryable).toBe(true)
    await vm.start().unwrap()
  })

  test('that comes back and cannot tell ends with OUTCOME_UNKNOWN', async () => {
    const { vm, clock } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'lostConnection', done: true, forMs: 10 },
    ])
    const job = vm.start()
    await clock.advance(9)
    expect([job.status, job.retCode]).toEqual(['unknown', undefined])
    await clock.advance(1)
    expect([job.status, job.retCode]).toEqual(['unknown', 'OUTCOME_UNKNOWN'])
    expect(await vm.getState().unwrap()).toBe('running')
  })

  test('that never comes back ends everything at once, and calls from then on', async () => {
    const { vm, simulated } = await simulatedVm('stopped', [
      { operation: 'vm.start', kind: 'lostConnection', done: true, forMs: Infinity },
    ])
    await failureOf(vm.start(), 'OUTCOME_UNKNOWN')
    await failureOf(vm.getState(), 'CONNECTION_FAILED')
    const again = await simulated.connect().getVm('web-1').unwrap()
    expect(again.state).toBe('running')
  })

  test('that comes back reports what others have changed, with the right type of event', async () => {
    const { vm, server, simulated, clock } = await simulatedVm('stopped', [
      { operation: 'vm.getState', kind: 'lostConnection', forMs: 10, tells: true },
    ])
    const log = new EventLog(server.events())
    const job = vm.getState()
    const other = simulated.connect()
    const same = await other.getVm('web-1').unwrap()
    await same.createSnapshot({ name: 'clean' }).unwrap()
    await (await other.getVm('web-2').unwrap()).edit({ description: 'y' }).unwrap()
    await same.start().unwrap()
    await same.stop({ mode: 'kill' }).unwrap()
    await (await other.createVm({ name: 'brief' }).unwrap()).delete().unwrap()
    await clock.advance(10)
    await failureOf(job, 'CONNECTION_FAILED')
    await log.close()
    expect(log.events).toMatchObject([
      { type: 'snapshots', name: 'web-1' },
      { type: 'config', name: 'web-2' },
    ])
  })

  test('breaks all that is under way on the connection, its consoles too, and no other connection', async () => {
    const { vm, server, simulated, clock } = await simulatedVm(
      'running',
      [{ operation: 'vm.edit', kind: 'lostConnection', forMs: 50, tells: true }],
      { latency },
    )
    const other = await simulated.connect().getVm('web-2').unwrap()
    const console = vm.console()
    const failed = new Promise((resolve) => console.once('error', resolve))
    console.resume()
    const log = new EventLog(server.events())
    const second = (await server.getVm('web-2').unwrap()).start()
    const edit = vm.edit({ description: 'x' })
    expect([second.status, edit.status]).toEqual(['unknown', 'unknown'])
    expect(await failed).toMatchObject({ code: 'CONNECTION_FAILED' })
    expect(await other.getState().unwrap()).toBe('starting')
    await simulated.connect().createVm({ name: 'meanwhile' }).unwrap()
    await clock.advance(50)
    expect(second.status).toBe('running')
    await failureOf(edit, 'CONNECTION_FAILED')
    await clock.advance(50)
    await second.unwrap()
    await log.close()
    expect(log.events.map((event) => [event.type, 'name' in event && event.name])).toEqual([
      ['state', 'web-2'],
      ['created', 'meanwhile'],
      ['state', 'web-2'],
    ])
  })
})

test('several faults of one call all have their effect', async () => {
  const { vm, clock, server } = await simulatedVm('stopped', [
    { operation: 'vm.start', kind: 'slow', latency: 100 },
    { operation: 'vm.start', kind: 'refuseCancel' },
    { operation: 'vm.start', kind: 'crash' },
  ])
  const log = new EventLog(server.events())
  const job = vm.start()
  await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
  await clock.advance(50)
  await failureOf(job, 'HOST_ERROR')
  await log.close()
  expect(log.states).toEqual(['starting', 'crashed'])
})

test('an error that the operation does not declare becomes a HostError', async () => {
  const error = (): HostError => new HostError({ reason: 'odd', native: { driver: 'simulated', message: 'odd' } })
  const { vm } = await simulatedVm('stopped', [
    { kind: 'error', error: () => new SnapshotNotFoundError({ reason: 'odd' }), operation: 'vm.start' },
    { kind: 'error', error, operation: 'vm.getState' },
  ])
  await failureOf(vm.start(), 'HOST_ERROR')
  await failureOf(vm.getState(), 'HOST_ERROR')
})
