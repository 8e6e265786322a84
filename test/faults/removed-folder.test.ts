import { once } from 'node:events'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { expect, onTestFinished, test } from 'vitest'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

/** Waits for a warning that has the words. */
const warning = (words: string): Promise<string> =>
  new Promise((resolve) => {
    const listen = ({ message }: Error): void => {
      if (message.includes(words)) resolve(message)
    }
    process.on('warning', listen)
    onTestFinished(() => void process.off('warning', listen))
  })

test.for(['the folder of the VM', 'the whole directory'])(
  'QEMU: one that runs when %s is removed is ended by those who watch, also those who did not start it',
  async (what, context) => {
    skipWithout(context, missingQemu)
    await using host = await QmpHost.open()
    const vm = await host.createVm()
    await vm.start().unwrap()
    const { uri } = host
    await using other = await connect(uri).unwrap()
    const watched = await other.getVm(vm.id).unwrap()
    expect(watched.state).toBe('running')
    await host.server.close().unwrap()
    const log = new EventLog(other.events({ vmId: vm.id }))
    expect(await qemusIn(host.directory)).toHaveLength(1)
    await rm(what === 'the whole directory' ? host.directory : join(host.directory, 'vms', vm.id), { recursive: true })
    await log.until((event) => event.type === 'deleted')
    await expect.poll(() => qemusIn(host.directory), { timeout: 20_000 }).toEqual([])
  },
)

test.for(['the folder of the VM', 'the whole directory'])(
  'QEMU: one that ran on when %s was removed is ended by the next that connects, with a warning',
  async (what, context) => {
    skipWithout(context, missingQemu)
    await using host = await QmpHost.open()
    await using elsewhere = await QmpHost.open()
    const vm = await host.createVm()
    const moved = await host.createVm({ name: 'moved' })
    await vm.start().unwrap()
    await moved.start().unwrap()
    const pid = await host.pidOf(vm)
    await host.server.close().unwrap()
    const folder = join(host.directory, 'vms', vm.id)
    await rename(join(host.directory, 'vms', moved.id), join(elsewhere.directory, 'moved'))
    await rm(what === 'the whole directory' ? host.directory : folder, { recursive: true })
    const warned = warning('was removed while it ran')
    await using later = await connect(host.uri).unwrap()
    expect(await warned).toContain(`the process ${String(pid)}, was ended`)
    expect(await qemusIn(host.directory)).toEqual([])
    expect(await later.getVmList().unwrap()).toEqual([])
    expect(await qemusIn(elsewhere.directory)).toHaveLength(1)
  },
)

test('QEMU: a warning names a VM that runs on after its folder was moved away', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  await using elsewhere = await QmpHost.open()
  const vm = await host.createVm()
  await vm.start().unwrap()
  const place = join(elsewhere.directory, 'moved')
  const pid = await host.pidOf(vm)
  const warned = warning('was moved to')
  await rename(join(host.directory, 'vms', vm.id), place)
  expect(await warned).toContain(`moved to ${place} while it ran, and its QEMU, the process ${String(pid)}, runs on`)
  expect(await qemusIn(place)).toEqual([pid])
})

test.for(['the folder of the VM', 'the whole directory'])(
  'embedded: a VM that runs when %s is removed is ended',
  async (what) => {
    const directory = await mkdtemp(join(tmpdir(), 'awaitvm-removed-'))
    await using server = await connect(`embedded://${directory}`).unwrap()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    const closed = once(vm.console().resume(), 'close')
    const log = new EventLog(server.events({ vmId: vm.id }))
    await rm(what === 'the whole directory' ? directory : join(directory, 'vms', vm.id), { recursive: true })
    await log.until((event) => event.type === 'deleted')
    expect(log.states).toEqual(['stopped'])
    await closed
    expect((await vm.start())._unsafeUnwrapErr().code).toBe('VM_NOT_FOUND')
    await rm(directory, { recursive: true, force: true })
  },
)

test('QEMU: one whose VM is moved while it runs goes on', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const vm = await host.createVm()
  await vm.start().unwrap()
  const log = new EventLog(host.server.events({ vmId: vm.id }))
  await vm.migrate(other.uri).unwrap()
  await log.until((event) => event.type === 'deleted')
  const moved = await other.server.getVm(vm.id).unwrap()
  expect(await moved.getState().unwrap()).toBe('running')
  await moved.pause().unwrap()
  await moved.stop({ mode: 'kill' }).unwrap()
})
