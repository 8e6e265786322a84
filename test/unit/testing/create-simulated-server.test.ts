import { Job, type Server, type Vm, type VmConfig } from 'awaitvm'
import { createSimulatedServer, type SimulatedServerOptions } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

const names = async (server: Server): Promise<string[]> => (await server.getVmList().unwrap()).map(({ name }) => name)

describe('the VMs that are there from the start', () => {
  test('are none by default', async () => {
    expect(await names(createSimulatedServer().server)).toEqual([])
  })

  test('are as many as asked for', async () => {
    const { server } = createSimulatedServer({ vms: 3 })
    expect(await names(server)).toEqual(['vm-1', 'vm-2', 'vm-3'])
    const vm = await server.getVm('vm-2').unwrap()
    expect(vm.state).toBe('stopped')
    expect(vm.config).toEqual({
      name: 'vm-2',
      description: '',
      cpus: 1,
      memoryMiB: 512,
      disks: [],
      cdroms: [],
      floppies: [],
      networkAdapters: [],
      boot: {},
      createdAt: new Date('2026-01-01T00:00:00Z'),
    })
  })

  test.each(['stopped', 'running', 'paused', 'suspended', 'crashed'] as const)('may be %s', async (state) => {
    const { server } = createSimulatedServer({ vms: [{ name: 'web-1', memoryMiB: 64, state }] })
    const vm = await server.getVm('web-1').unwrap()
    expect([vm.state, await vm.getState().unwrap(), vm.config.memoryMiB]).toEqual([state, state, 64])
    if (state === 'paused' || state === 'suspended') await vm.resume().unwrap()
    if (state === 'stopped' || state === 'crashed') await vm.start().unwrap()
    await vm.stop().unwrap()
    expect(vm.state).toBe('stopped')
  })

  test('need no image on this machine with files: assumed', async () => {
    const spec = { disks: [{ image: '/srv/no-such.img' }], boot: { kernel: '/boot/no-such-kernel' } }
    const { server } = createSimulatedServer({ vms: [{ name: 'there', ...spec }], files: 'assumed' })
    await server.createVm({ name: 'made', ...spec }).unwrap()
    const strict = createSimulatedServer({ vms: [{ name: 'there', ...spec }] }).server
    await failureOf(strict.createVm({ name: 'made', ...spec }), 'INVALID_ARGUMENT')
    await (await strict.getVm('there').unwrap()).start().unwrap()
  })
})

test('a hundred thousand VMs are made, listed, found by name and started', async () => {
  const count = 100_000
  const { server } = createSimulatedServer({ vms: count })
  const vms = await server.getVmList().unwrap()
  expect(vms).toHaveLength(count)
  expect(new Set(vms.map(({ id }) => id)).size).toBe(count)
  await Job.all(vms.map((vm) => vm.start())).unwrap()
  expect(await server.getVmList({ state: 'running' }).unwrap()).toHaveLength(count)
  expect((await server.getVm(`vm-${count}`).unwrap()).state).toBe('running')
})

describe('connections', () => {
  test('share the VMs, which stay when one is closed', async () => {
    const simulated = createSimulatedServer({ vms: 1 })
    const second = simulated.connect()
    await (await second.getVm('vm-1').unwrap()).start().unwrap()
    await second.close().unwrap()
    expect((await simulated.server.getVm('vm-1').unwrap()).state).toBe('running')
    await simulated.server.close().unwrap()
    expect((await simulated.connect().getVm('vm-1').unwrap()).state).toBe('running')
    await simulated[Symbol.asyncDispose]()
  })

  test('have limits of their own', async () => {
    const { server, clock } = createSimulatedServer({ vms: 2, latency: 10, maxConcurrentOperations: 1 })
    const jobs = [server.getInfo(), server.getInfo()]
    expect(jobs.map(({ progress }) => progress.phase)).toEqual([undefined, 'queued'])
    await clock.advance(20)
    await Job.all(jobs).unwrap()
  })

  test('report a failure that nobody looked at', async () => {
    const failures: string[] = []
    const { server } = createSimulatedServer({ vms: 1, onUnobservedFailure: ({ error }) => failures.push(error.code) })
    void (await server.getVm('vm-1').unwrap()).resume()
    await server.getVmList()
    await server.close().unwrap()
    expect(failures).toEqual(['INVALID_STATE'])
  })

  test('all end with the host', async () => {
    const simulated = createSimulatedServer({ vms: 1 })
    const second = simulated.connect()
    await simulated[Symbol.asyncDispose]()
    for (const server of [simulated.server, second]) await failureOf(server.getVmList(), 'CONNECTION_FAILED')
  })
})

describe('a host that offers less', () => {
  test('refuses what it does not offer, before anything is sent', async () => {
    const { server, calls } = createSimulatedServer({
      vms: [{ name: 'web-1', state: 'running' }],
      without: ['vm.suspend', 'vm.clone.linked', 'vm.edit.live', 'guest.exec'],
    })
    const vm = await server.getVm('web-1').unwrap()
    calls.clear()
    for (const capability of ['vm.suspend', 'vm.clone.linked', 'vm.edit.live', 'guest.exec'] as const) {
      expect(server.capabilities.has(capability)).toBe(false)
    }
    expect((await failureOf(vm.suspend(), 'NOT_SUPPORTED')).capability).toBe('vm.suspend')
    expect((await failureOf(vm.clone({ name: 'x', linked: true }), 'NOT_SUPPORTED')).capability).toBe('vm.clone.linked')
    await failureOf(vm.guest.exec(['true']), 'NOT_SUPPORTED')
    expect(calls.length).toBe(0)
    await failureOf(vm.edit({ memoryMiB: 1024 }), 'INVALID_STATE')
    await vm.edit({ description: 'edited' }).unwrap()
  })

  test('without global events, a connection hears of what it does itself, and of what guests do', async () => {
    const simulated = createSimulatedServer({ vms: 2, without: ['server.events.global'] })
    const other = simulated.connect()
    const events = simulated.server.events({ types: ['state'] })
    const start = async (server: Server, name: string): Promise<Vm> => {
      const vm = await server.getVm(name).unwrap()
      await vm.start().unwrap()
      return vm
    }
    await start(other, 'vm-1')
    const own = await start(simulated.server, 'vm-2')
    simulated.vm('vm-2').powerOff()
    await simulated.server.close().unwrap()
    const heard: unknown[] = []
    for await (const event of events) if (event.type === 'state') heard.push([event.vmId, event.state, event.reason])
    expect(heard).toEqual([
      [own.id, 'starting', 'request'],
      [own.id, 'running', 'request'],
      [own.id, 'stopped', 'guest'],
    ])
    await other.close().unwrap()
  })

  test.each([false, ({ name }: VmConfig) => name !== 'web-1'])('without an agent in its guests: %s', async (agent) => {
    const vms = ['web-1', 'web-2'].map((name) => ({ name, state: 'running' as const }))
    const { server } = createSimulatedServer({ vms, agent })
    const [first, second] = await server.getVmList().unwrap()
    const error = await failureOf(first!.guest.exec(['true']), 'GUEST_UNAVAILABLE')
    expect(error.hint).toBeTruthy()
    expect((await second!.guest.exec(['true'])).isOk()).toBe(agent !== false)
  })
})

test.for<[string, unknown]>([
  ['options', null],
  ['options.vm', { vm: 3 }],
  ['options.vms', { vms: -1 }],
  ['options.vms', { vms: 'three' }],
  ['options.vms[1].name', { vms: [{ name: 'a' }, { name: '' }] }],
  ['options.vms[1].name', { vms: [{ name: 'a' }, { name: 'a' }] }],
  ['options.vms[0].state', { vms: [{ name: 'a', state: 'starting' }] }],
  ['options.vms[0].memory', { vms: [{ name: 'a', memory: 5 }] }],
  ['options.vms[0]', { vms: ['a'] }],
  ['options.seed', { seed: 1.5 }],
  ['options.clock', { clock: 'fake' }],
  ['options.now', { now: new Date(Number.NaN) }],
  ['options.now', { now: new Date(), clock: 'real' }],
  ['options.latency', { latency: -1 }],
  ['options.latency', { latency: [5, 1] }],
  ['options.latency.vm.begin', { latency: { 'vm.begin': 5 } }],
  ['options.latency.vm.start', { latency: { 'vm.start': 'long' } }],
  ['options.without[0]', { without: ['vm.begin'] }],
  ['options.files', { files: 'none' }],
  ['options.maxCalls', { maxCalls: -1 }],
  ['options.agent', { agent: 'yes' }],
  ['options.faults', { faults: {} }],
  ['options.faults[1].kind', { faults: [{ kind: 'hang' }, { kind: 'bang' }] }],
  ['options.maxConcurrentOperations', { maxConcurrentOperations: 0 }],
])('%s that is wrong is refused at once: %o', ([path, options]) => {
  expect(() => createSimulatedServer(options as SimulatedServerOptions)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', path }),
  )
})
