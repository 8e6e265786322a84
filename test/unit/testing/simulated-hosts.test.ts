import { connect } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { ConsoleReader } from '../../../src/testing/conformance/console-reader.js'
import { EventLog } from '../../../src/testing/conformance/event-log.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

describe('a migration', () => {
  test('moves a running VM with its memory, its disk, its files and its snapshots', async () => {
    const [here, there] = [createSimulatedServer(), createSimulatedServer()]
    const vm = await here.server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
    await vm.start().unwrap()
    const console = new ConsoleReader(vm.console())
    await console.ask('write 2a', 'disk 2A\r\n')
    here.vm('web-1').writeFile('/etc/motd', 'hello')
    const { id: snapshot } = await vm.createSnapshot({ name: 'now' }).unwrap()
    const [left, arrived] = [new EventLog(here.server.events()), new EventLog(there.server.events())]

    await vm.migrate(there.uri).unwrap()
    expect(await console.untilClosed()).toBeUndefined()
    await failureOf(vm.getState(), 'VM_NOT_FOUND')
    const moved = await there.server.getVm('web-1').unwrap()
    expect([moved.id, moved.state, moved.config]).toEqual([vm.id, 'running', vm.config])
    const again = new ConsoleReader(moved.console())
    await again.ask('count', 'lines 2\r\n')
    await again.ask('read', 'disk 2A\r\n')
    expect(Buffer.from(there.vm('web-1').readFile('/etc/motd')!).toString()).toBe('hello')
    await moved.switchToSnapshot(snapshot).unwrap()
    expect(moved.state).toBe('running')
    await left.close()
    await arrived.close()
    expect(left.events.map((event) => (event.type === 'state' ? event.state : event.type))).toEqual([
      'migrating',
      'deleted',
    ])
    expect(arrived.events[0]?.type).toBe('created')
  })

  test.each(['stopped', 'paused', 'suspended'] as const)('of a %s VM leaves it so', async (state) => {
    const [here, there] = [
      createSimulatedServer({ vms: [{ name: 'web-1', state }] }),
      createSimulatedServer({ vms: 1 }),
    ]
    const vm = await here.server.getVm('web-1').unwrap()
    await vm.migrate(there.uri).unwrap()
    const moved = await there.server.getVm('web-1').unwrap()
    expect(moved.state).toBe(state)
    // The hosts have the same seed, and so two VMs of one id.
    expect(await there.server.getVmList().unwrap()).toHaveLength(2)
    await (state === 'stopped' ? moved.start() : moved.resume()).unwrap()
  })

  test('goes to an intercepted URI too', async () => {
    const [here, there] = [createSimulatedServer({ vms: 1 }), createSimulatedServer()]
    using _interception = there.intercept('qemu+ssh://other/system')
    await (await here.server.getVm('vm-1').unwrap()).migrate('qemu+ssh://other/system').unwrap()
    await using server = await connect('qemu+ssh://other/system').unwrap()
    expect((await server.getVm('vm-1').unwrap()).state).toBe('stopped')
  })

  test('that is impossible ends with the reason, and the VM stays', async () => {
    const [here, there] = [createSimulatedServer({ vms: 1 }), createSimulatedServer({ vms: 1 })]
    const vm = await here.server.getVm('vm-1').unwrap()
    expect((await failureOf(vm.migrate('qemu:///nowhere'), 'INVALID_ARGUMENT')).path).toBe('to')
    expect((await failureOf(vm.migrate(here.uri), 'INVALID_ARGUMENT')).path).toBe('to')
    await failureOf(vm.migrate(there.uri), 'ALREADY_EXISTS')
    expect(await vm.getState().unwrap()).toBe('stopped')
  })

  test('that is cancelled leaves the VM where it was', async () => {
    const there = createSimulatedServer()
    const { server, clock } = createSimulatedServer({
      vms: [{ name: 'web-1', state: 'running' }],
      latency: { 'vm.migrate': 100 },
    })
    const vm = await server.getVm('web-1').unwrap()
    const job = vm.migrate(there.uri)
    await clock.advance(50)
    expect(vm.state).toBe('migrating')
    await job.cancel().unwrap()
    expect(await vm.getState().unwrap()).toBe('running')
    expect(await there.server.getVmList().unwrap()).toEqual([])
  })
})

test('a VM that was unregistered comes back at its path, with all that it had, unless its name is taken', async () => {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state: 'suspended' }] })
  const { server } = simulated
  const vm = await server.getVm('web-1').unwrap()
  const { path } = simulated.vm('web-1')
  await vm.unregister().unwrap()
  const other = await server.createVm({ name: 'web-1' }).unwrap()
  await failureOf(server.registerVm(path), 'ALREADY_EXISTS')
  await other.delete().unwrap()
  const back = await server.registerVm(path).unwrap()
  expect([back.id, back.state]).toEqual([vm.id, 'suspended'])
  await back.resume().unwrap()
})
