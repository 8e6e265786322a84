import { connect, ConnectionError, ResourceBusyError, type OperationCode, type VmState } from 'awaitvm'
import { registerDriver, type Driver, type OpenDriver, type Task, type VmRecord } from 'awaitvm/driver'
import { serve } from 'awaitvm/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { configOf, FakeDriver, recordOf, stateEvent } from '../support/fake-driver.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'

/** A small driver with these operations, and with what a test makes wrong of it. */
const driverOf = (operations: object, wrong: object = {}): Driver => ({
  name: 'mine',
  operations: operations,
  features: new Set(),
  maxConcurrentOperations: 4,
  subscribe: () => () => undefined,
  close: async () => undefined,
  ...wrong,
})

const openDriver =
  (driver: Driver): OpenDriver =>
  async () =>
    driver

afterEach(() => {
  vi.useRealTimers()
})

describe('a scheme of one’s own', () => {
  test('is opened with the URI whole and with the job’s signal, until it is disposed of', async () => {
    const open = vi.fn<OpenDriver>(async () => driverOf({ 'server.getVmList': async () => [recordOf()] }))
    {
      using _mine = registerDriver('mine+x', open)
      await using server = await connect('mine+x://user:secret@host/a?b=c').unwrap()
      expect(server).toMatchObject({ uri: 'mine+x://user@host/a?b=c', driver: 'mine' })
      expect((await server.getVmList().unwrap()).map(({ name }) => name)).toEqual(['web-1'])
      const [url, task] = open.mock.calls[0]!
      expect(url.href).toBe('mine+x://user:secret@host/a?b=c')
      expect(task.signal.aborted).toBe(false)
    }
    const error = await failureOf(connect('mine+x://host'), 'INVALID_ARGUMENT')
    expect(error.hint).toBe(
      'Known are: embedded:, qmp:, parallels:, parallels+ssh:, ' +
        'qemu:, qemu+unix:, qemu+tcp:, qemu+tls:, qemu+ssh:, qemu+ext:, test:, test+unix:, test+tcp:, test+tls:, test+ssh:, test+ext:.',
    )
    expect(open).toHaveBeenCalledOnce()
  })

  test('is told of with the others', async () => {
    using _mine = registerDriver('mine', openDriver(new FakeDriver()))
    expect((await failureOf(connect('other:'), 'INVALID_ARGUMENT')).hint).toMatch(/test\+ext:, mine:\.$/)
  })

  test.for(['', 'Mine', '1mine', 'mine:', 'mi ne', 'mine/', 5, undefined])('%j is refused', (scheme) => {
    expect(() => registerDriver(scheme as string, openDriver(new FakeDriver()))).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', path: 'scheme' }),
    )
  })

  test('without a function is refused', () => {
    expect(() => registerDriver('mine', {} as OpenDriver)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', path: 'open' }),
    )
  })

  test('that is taken is refused, and what has it stays', async () => {
    const first = registerDriver('mine', openDriver(driverOf({}, { name: 'first' })))
    for (const scheme of ['mine', 'embedded', 'qmp', 'parallels', 'parallels+ssh', 'qemu', 'test+ext']) {
      expect(() => registerDriver(scheme, openDriver(new FakeDriver()))).toThrow(
        expect.objectContaining({ code: 'ALREADY_EXISTS' }),
      )
    }
    expect((await connect('mine:').unwrap()).driver).toBe('first')
    first[Symbol.dispose]()
    using _second = registerDriver('mine', openDriver(driverOf({}, { name: 'second' })))
    first[Symbol.dispose]()
    expect((await connect('mine:').unwrap()).driver).toBe('second')
  })
})

describe('a driver that is opened', () => {
  test('with a VmError ends the job with it, with anything else as a HostError', async () => {
    const busy = new ResourceBusyError({ reason: 'it is busy' })
    using _busy = registerDriver('busy', async () => {
      throw busy
    })
    expect(await failureOf(connect('busy:'), 'RESOURCE_BUSY')).toBe(busy)
    using _broken = registerDriver('broken', () => {
      throw new RangeError('no such host')
    })
    const error = await failureOf(connect('broken:'), 'HOST_ERROR')
    expect(error.message).toBe('Cannot connect to host "broken:": no such host.')
    expect(error.cause).toBeInstanceOf(RangeError)
  })

  test.for([
    ['nothing', undefined, 'driver is missing.'],
    ['text', 'driver', "driver must be an object, and is 'driver'."],
    ['no name', driverOf({}, { name: '' }), "driver.name must not be empty, and is ''."],
    [
      'no operations',
      driverOf({}, { operations: undefined }),
      'driver.operations must be an object, and is undefined.',
    ],
    [
      'an operation that is no function',
      driverOf({ 'vm.start': 5 }),
      'driver.operations.vm.start must be a function, and is 5.',
    ],
    [
      'an operation that is not one',
      driverOf({ 'vm.strat': async () => undefined }),
      'driver.operations.vm.strat is not a known setting. Did you mean vm.start?',
    ],
    ['features in an array', driverOf({}, { features: [] }), 'driver.features must be a Set, and is [].'],
    [
      'a feature that is not one',
      driverOf({}, { features: new Set(['x']) }),
      "driver.features must have no other members than vm.clone.linked, vm.clone.memory, vm.clone.ephemeral, vm.exportDisk.formats, vm.edit.live, server.events.global, and is Set(1) { 'x' }.",
    ],
    [
      'room for no operation',
      driverOf({}, { maxConcurrentOperations: 0 }),
      'driver.maxConcurrentOperations must be a number from 1, and is 0.',
    ],
    ['no close', driverOf({}, { close: undefined }), 'driver.close must be a function, and is undefined.'],
  ] as const)('with %s ends the job with a ProtocolError', async ([, driver, reason]) => {
    using _mine = registerDriver('mine', openDriver(driver as Driver))
    const { message } = await failureOf(connect('mine:'), 'PROTOCOL_ERROR')
    expect(message).toContain(`Cannot connect to host "mine:": what was opened is not a driver: ${reason}`)
  })
})

test('a VM without the parts that the type leaves open is a valid answer', async () => {
  const { createdAt: _createdAt, ...config } = configOf('web-1')
  const server = serve(driverOf({ 'server.getVmList': async () => [{ ...recordOf(), config }] }), 'mine:')
  expect((await server.getVm('web-1').unwrap()).config).toEqual(config)
})

describe('an invalid answer of a driver', () => {
  const record = recordOf()
  const wrong: readonly (readonly [OperationCode, unknown, string])[] = [
    ['server.getInfo', {}, 'it.driver is missing'],
    ['server.getVmList', undefined, 'it must be an array, and is undefined'],
    ['server.getVmList', [record, { ...record, id: '' }], "it[1].id must not be empty, and is ''"],
    ['server.getVm', undefined, 'it is missing'],
    ['server.getVm', { ...record, state: 'flying' }, "it.state must be a state of a VM, and is 'flying'"],
    ['server.getVm', { ...record, config: { ...configOf('a'), name: 5 } }, 'it.config.name must be a string, and is 5'],
    ['server.getJobs', [{ token: '1', operation: 'vm.fly' }], "it[0].operation must be an operation, and is 'vm.fly'"],
    ['vm.start', undefined, 'it must be a state of a VM, and is undefined'],
    ['vm.start', 'started', "it must be a state of a VM, and is 'started'"],
    ['vm.clone', 'copy', "it must be an object, and is 'copy'"],
    ['vm.createSnapshot', { id: 's' }, 'it.name is missing'],
    ['vm.getSnapshotTree', [{}], 'it[0].id is missing'],
    ['vm.getStatistics', { takenAt: 0 }, 'it.takenAt must be a Date, and is 0'],
    ['vm.screenshot', 'png', "it must be a Uint8Array, and is 'png'"],
    ['vm.console', {}, 'it must be a Duplex stream, and is {}'],
    ['guest.exec', { exitCode: '0' }, "it.exitCode must be a number, and is '0'"],
    ['guest.getNetworkAddresses', [{ address: '::1', family: 6 }], 'it[0].family must be "ipv4" or "ipv6", and is 6'],
  ]
  const calls: Partial<Record<OperationCode, (server: ReturnType<typeof serve>) => Promise<unknown>>> = {
    'server.getInfo': (server) => server.getInfo().unwrap(),
    'server.getVmList': (server) => server.getVmList().unwrap(),
    'server.getVm': (server) => server.getVm('web-1').unwrap(),
    'server.getJobs': (server) => server.getJobs().unwrap(),
    'vm.start': async (server) => (await server.getVm('web-1').unwrap()).start().unwrap(),
    'vm.clone': async (server) => (await server.getVm('web-1').unwrap()).clone({ name: 'copy' }).unwrap(),
    'vm.createSnapshot': async (server) =>
      (await server.getVm('web-1').unwrap()).createSnapshot({ name: 'a' }).unwrap(),
    'vm.getSnapshotTree': async (server) => (await server.getVm('web-1').unwrap()).getSnapshotTree().unwrap(),
    'vm.getStatistics': async (server) => (await server.getVm('web-1').unwrap()).getStatistics().unwrap(),
    'vm.screenshot': async (server) => (await server.getVm('web-1').unwrap()).screenshot().unwrap(),
    'vm.console': async (server) => {
      const console = (await server.getVm('web-1').unwrap()).console()
      return await new Promise((_resolve, reject) => console.once('error', reject))
    },
    'guest.exec': async (server) => (await server.getVm('web-1').unwrap()).guest.exec(['true']).unwrap(),
    'guest.getNetworkAddresses': async (server) =>
      (await server.getVm('web-1').unwrap()).guest.getNetworkAddresses().unwrap(),
  }

  test.for(wrong)('%s: %j', async ([operation, answer, reason]) => {
    const operations = { 'server.getVm': async () => record, [operation]: async () => answer }
    const server = serve(driverOf(operations), 'mine:')
    const error = await calls[operation]!(server).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'PROTOCOL_ERROR', operation })
    expect((error as Error).message).toContain(
      `the mine driver gave an invalid answer to ${operation}: ${reason}. Report`,
    )
  })

  test('an event is told as a warning, and dropped', async () => {
    const driver = new FakeDriver({ answers: { 'server.getVm': () => recordOf() } })
    const server = serve(driver, 'fake:')
    const vm = await server.getVm('web-1').unwrap()
    const events = server.events()
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    driver.emit({ ...stateEvent('running'), state: 'flying' } as never)
    expect((await warned).message).toMatch(/^An event of the fake driver: .* it\.state must be a state of a VM/)
    driver.emit(stateEvent('paused'))
    expect((await events.next()).value).toMatchObject({ type: 'state', state: 'paused' })
    expect(vm.state).toBe('paused')
  })
})

describe('a driver that only lists its VMs', () => {
  const records: readonly VmRecord[] = [
    recordOf('a', 'running'),
    recordOf('b'),
    // Its name is the id of another one: an id goes before a name.
    { ...recordOf('c'), config: configOf('id-of-a') },
  ]
  const open = (): ReturnType<typeof serve> => serve(driverOf({ 'server.getVmList': async () => records }), 'mine:')

  test('is filtered', async () => {
    const names = async (filter: object): Promise<string[]> =>
      (await open().getVmList(filter).unwrap()).map(({ name }) => name)
    expect(await names({})).toEqual(['a', 'b', 'id-of-a'])
    expect(await names({ state: 'stopped' })).toEqual(['b', 'id-of-a'])
    expect(await names({ name: 'b' })).toEqual(['b'])
    expect(await names({ name: 'b', state: 'running' })).toEqual([])
  })

  test('finds a VM by its id, then by its name, and tells its state', async () => {
    const server = open()
    expect(await (await server.getVm('id-of-a').unwrap()).getState().unwrap()).toBe('running')
    const vm = await server.getVm('b').unwrap()
    expect((await vm.refresh().unwrap()).name).toBe('b')
    expect(await vm.waitForState('stopped').unwrap()).toBe('stopped')
    await failureOf(server.getVm('x'), 'VM_NOT_FOUND')
  })
})

describe('a driver that can’t be closed', () => {
  test('as it throws, ends the close with a HostError', async () => {
    const close = (): never => {
      throw new Error('no way out')
    }
    expect((await failureOf(serve(driverOf({}, { close }), 'mine:').close(), 'HOST_ERROR')).reason).toBe('no way out')
  })

  test('in 30 seconds, ends the close with a TimeoutError, and the jobs under way', async () => {
    vi.useFakeTimers()
    const never = new Promise<never>(() => undefined)
    const operations = { 'server.getVm': async () => recordOf(), 'vm.start': () => never }
    const server = serve(driverOf(operations, { close: () => never }), 'mine:')
    const starting = (await server.getVm('web-1').unwrap()).start()
    const closing = server.close()
    await vi.advanceTimersByTimeAsync(30_000)
    expect((await failureOf(closing, 'TIMEOUT')).reason).toBe('the mine driver has not closed within 30000 ms')
    await failureOf(starting, 'OUTCOME_UNKNOWN')
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a driver that checks no states', () => {
  const starting = (state: VmState, start: (task: Task) => Promise<VmState>, getState = async () => state) => {
    const started = vi.fn(start)
    const operations = {
      'server.getVm': async () => recordOf('web-1', state),
      'vm.getState': getState,
      'vm.start': (_input: object, task: Task) => started(task),
      'vm.stop': async ({ mode }: { readonly mode: string }) => (mode === 'kill' ? 'stopped' : 'running'),
      'vm.getStatistics': async () => ({ takenAt: new Date(), uptimeMs: 1, memoryMiB: 1 }),
    }
    return { started, server: serve(driverOf(operations), 'mine:') }
  }

  test('refuses a VM in a wrong state, and is not called', async () => {
    const { started, server } = starting('running', async () => 'running')
    const vm = await server.getVm('web-1').unwrap()
    const error = await failureOf(vm.start(), 'INVALID_STATE')
    expect(error).toMatchObject({ state: 'running', expected: ['stopped', 'crashed'] })
    expect(error.message).toBe(
      `Cannot start VM "web-1": it is running. Stop it with vm.stop(), or take the power away with vm.stop({ mode: 'kill' }).`,
    )
    expect(started).not.toHaveBeenCalled()
  })

  test('refuses a query as well, and lets a VM in the right state through', async () => {
    const { started, server } = starting('stopped', async () => 'running')
    const vm = await server.getVm('web-1').unwrap()
    await failureOf(vm.getStatistics(), 'INVALID_STATE')
    await vm.start().unwrap()
    expect(vm.state).toBe('running')
    expect(started).toHaveBeenCalledOnce()
  })

  test('kills a VM in a state from which it can’t be shut down', async () => {
    const { server } = starting('paused', async () => 'running')
    const vm = await server.getVm('web-1').unwrap()
    expect((await failureOf(vm.stop(), 'INVALID_STATE')).expected).toEqual(['running'])
    await vm.stop({ mode: 'kill' }).unwrap()
    expect(vm.state).toBe('stopped')
  })

  test('has changed nothing if the time is over before it told the state, and is not called afterwards', async () => {
    let tell = (_state: VmState): void => undefined
    const told = new Promise<VmState>((resolve) => {
      tell = resolve
    })
    const { started, server } = starting(
      'stopped',
      async () => 'running',
      () => told,
    )
    const vm = await server.getVm('web-1').unwrap()
    expect((await failureOf(vm.start({ timeoutMs: 1 }), 'TIMEOUT')).hint).toBe('Nothing was changed.')
    tell('stopped')
    await server.close().unwrap()
    expect(started).not.toHaveBeenCalled()
  })

  test('has its own say in whether the change was sent', async () => {
    const { server } = starting('stopped', async () => {
      throw new ConnectionError({ reason: 'the host is away' })
    })
    await failureOf((await server.getVm('web-1').unwrap()).start(), 'CONNECTION_FAILED')
  })
})

test('a driver that checks states itself is asked for nothing before', async () => {
  const getState = vi.fn(async (): Promise<VmState> => 'running')
  const operations = {
    'server.getVm': async () => recordOf(),
    'vm.getState': getState,
    'vm.start': async () => 'running',
  }
  const server = serve(driverOf(operations, { checksStates: true }), 'mine:')
  await (await server.getVm('web-1').unwrap()).start().unwrap()
  expect(getState).not.toHaveBeenCalled()
})
