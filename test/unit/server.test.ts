import { inspect } from 'node:util'
import { ConnectionError, InvalidArgumentError, type VmEvent } from 'awaitvm'
import { serve } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { FakeDriver, hostInfo, recordOf, stateEvent } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'
import { collectUntil } from '../support/garbage-collection.js'

describe('what a server tells of itself', () => {
  test('its address, driver and capabilities', async () => {
    const { server } = await fakeServer({
      only: ['server.getVm', 'vm.getState', 'vm.start', 'vm.clone'],
      features: new Set(['vm.clone.linked'] as const),
    })
    expect(server).toMatchObject({ uri: 'fake:', driver: 'fake' })
    expect([...server.capabilities].sort()).toEqual([
      'connect',
      'server.close',
      'server.getJobs',
      'server.getVm',
      'vm.clone',
      'vm.clone.linked',
      'vm.getState',
      'vm.refresh',
      'vm.start',
      'vm.waitForState',
    ])
  })

  test('no capability that rests on one that is missing', () => {
    const { capabilities } = serve(new FakeDriver({ only: ['vm.start'] }), 'fake:')
    expect(capabilities.has('vm.refresh')).toBe(false)
    expect(capabilities.has('vm.waitForState')).toBe(false)
  })

  test('on console.log, open and closed', async () => {
    const { server } = await fakeServer()
    expect(inspect(server)).toBe('Server fake: (fake)')
    await server.close()
    expect(inspect(server)).toBe('Server fake: (fake, closed)')
  })
})

describe('calls', () => {
  test('getInfo', async () => {
    const { driver, server } = await fakeServer()
    const job = server.getInfo()
    driver.last.succeed(hostInfo)
    expect((await job)._unsafeUnwrap()).toEqual(hostInfo)
    expect(job.target).toEqual({ type: 'host', id: 'fake:', name: 'fake:' })
  })

  test('getVmList passes the filter on, without the options of the job', async () => {
    const { driver, server } = await fakeServer()
    const job = server.getVmList({ state: 'running', timeoutMs: 1000 })
    expect(driver.last.input).toEqual({ filter: { state: 'running' } })
    driver.last.succeed([recordOf('a', 'running'), recordOf('b', 'running')])
    expect((await job)._unsafeUnwrap().map(({ name }) => name)).toEqual(['a', 'b'])
  })

  test('registerVm and attachJob', async () => {
    const { driver, server } = await fakeServer()
    const registering = server.registerVm('/vms/a')
    expect(driver.last.input).toEqual({ path: '/vms/a' })
    driver.last.succeed(recordOf('a'))
    expect((await registering)._unsafeUnwrap().name).toBe('a')
    const attached = server.attachJob('task-1')
    expect(driver.last.input).toMatchObject({ token: 'task-1' })
    driver.last.succeed('what it led to')
    expect((await attached)._unsafeUnwrap()).toBe('what it led to')
  })

  test('createVm', async () => {
    const { driver, server } = await fakeServer()
    const vm = (await server.createVm({ name: 'db-1' }))._unsafeUnwrap()
    expect(vm.name).toBe('db-1')
    expect(driver.last.input).toEqual({ spec: { name: 'db-1' } })
  })
})

describe('getJobs', () => {
  test('has the jobs of this connection and those that the host keeps, each once', async () => {
    const { driver, server, vm } = await fakeServer({
      answers: {
        'server.getJobs': () => [
          { token: 'task-1', operation: 'vm.start', vm: { id: vm.id, name: vm.name }, progress: {} },
          { token: 'task-2', operation: 'vm.clone', vm: { id: 'b', name: 'web-2' }, progress: { percent: 40 } },
        ],
      },
    })
    const own = vm.start()
    driver.last.task.setToken('task-1')
    const jobs = (await server.getJobs())._unsafeUnwrap()
    expect(jobs.map(({ operation }) => operation)).toEqual(['vm.start', 'vm.clone'])
    expect(jobs[0]?.id).toBe(own.id)
    expect(jobs[1]).toMatchObject({
      token: 'task-2',
      target: { type: 'vm', id: 'b', name: 'web-2' },
      isCancelable: false,
    })
    expect(jobs[1]?.progress.percent).toBe(40)
    expect(driver.last.input).toMatchObject({ token: 'task-2' })
  })

  test('of a host that keeps none are those of this connection', async () => {
    const { server, vm } = await fakeServer({ only: ['server.getVm', 'vm.start'] })
    const own = vm.start()
    expect((await server.getJobs())._unsafeUnwrap().map(({ id }) => id)).toEqual([own.id])
  })
})

describe('a VM', () => {
  test('is the same object for the same id, as long as it is in use', async () => {
    const { driver, server, vm } = await fakeServer()
    const list = server.getVmList()
    driver.last.succeed([recordOf('web-1', 'running'), recordOf('other')])
    const [first, second] = (await list)._unsafeUnwrap()
    expect(first).toBe(vm)
    expect(second).not.toBe(vm)
    expect(vm.state).toBe('running')
    expect((await server.getVm('web-1'))._unsafeUnwrap()).toBe(vm)
  })

  test('that nobody has is forgotten, and made anew', async () => {
    const { driver, server } = await fakeServer()
    let isGone = false
    const registry = new FinalizationRegistry(() => (isGone = true))
    await (async () => {
      registry.register((await server.createVm({ name: 'a' }))._unsafeUnwrap(), undefined)
    })()
    driver.calls.length = 0
    expect(await collectUntil(() => isGone)).toBe(true)
    driver.emit(stateEvent('running', 'a'))
    expect((await server.createVm({ name: 'a' }))._unsafeUnwrap().state).toBe('stopped')
  })
})

describe('events', () => {
  const types = async (events: AsyncIterable<VmEvent>): Promise<string[]> => {
    const seen: string[] = []
    for await (const event of events) seen.push(event.type === 'state' ? event.state : event.type)
    return seen
  }
  const other = (type: 'created' | 'deleted'): VmEvent => ({ type, vmId: 'id-of-b', name: 'b', at: new Date(0) })

  test('come in order, and end when the server is closed', async () => {
    const { driver, server } = await fakeServer()
    const reading = types(server.events())
    driver.emit(stateEvent('starting'))
    driver.emit(other('created'))
    await server.close()
    expect(await reading).toEqual(['starting', 'created'])
    expect(driver.subscribers).toBe(0)
    expect(await types(server.events())).toEqual([])
  })

  test('of one VM, or of some types', async () => {
    const { driver, server, vm } = await fakeServer()
    const readings = [
      server.events({ vmId: vm.id }),
      server.events({ types: ['created', 'deleted'] }),
      server.events({ types: [] }),
    ].map(types)
    for (const event of [stateEvent('running'), other('created'), stateEvent('paused', 'b'), other('deleted')])
      driver.emit(event)
    await server.close()
    expect(await Promise.all(readings)).toEqual([['running'], ['created', 'deleted'], []])
  })

  test.for([null, 5, [], { vmId: 5 }, { types: 'state' }])('%o is no filter', async (filter) => {
    const { server } = await fakeServer()
    expect(() => server.events(filter as never)).toThrow(InvalidArgumentError)
  })

  test('keep the state of VMs', async () => {
    const { driver, vm } = await fakeServer()
    driver.emit(stateEvent('running'))
    expect(vm.state).toBe('running')
    driver.emit(stateEvent('paused', 'other'))
    expect(vm.state).toBe('running')
  })
})

test('serve refuses a limit that would let nothing through', () => {
  for (const maxConcurrentOperations of [0, -1, Number.NaN, '5', null]) {
    expect(() => serve(new FakeDriver(), 'fake:', { maxConcurrentOperations } as never)).toThrow(InvalidArgumentError)
  }
})

test('leaving the scope of a server closes it, and throws if that fails', async () => {
  const { server } = await fakeServer({ close: () => Promise.reject(new ConnectionError({ reason: 'no' })) })
  await expect(server[Symbol.asyncDispose]()).rejects.toBeInstanceOf(ConnectionError)
})
