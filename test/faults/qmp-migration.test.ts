import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { Child } from '../support/child-process.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

/** A folder on another file system than the temporary folder; Linux has one. */
const elsewhere = '/dev/shm'
const isElsewhere = existsSync(elsewhere) && statSync(elsewhere).dev !== statSync(tmpdir()).dev

beforeEach((context) => {
  skipWithout(context, missingQemu)
  if (!isElsewhere) context.skip(`${elsewhere} is not another file system`)
})

const vmsIn = (host: QmpHost): string[] => readdirSync(join(host.directory, 'vms'))
const definitionOf = (host: QmpHost, vm: Vm): object =>
  JSON.parse(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8'))

/** A stopped VM with a base, a snapshot, and this content on its disk. */
async function vmWith(host: QmpHost, value: number): Promise<Vm> {
  const original = await host.createVm({ disks: [{ sizeMiB: 1 }], name: 'original' })
  const vm = await original.clone({ name: 'web-1', linked: true }).unwrap()
  await original.delete().unwrap()
  const guest = await host.boot(vm)
  await guest.writeDisk(value)
  await vm.stop().unwrap()
  await vm.createSnapshot({ name: 'one' }).unwrap()
  return vm
}

async function read(host: QmpHost, vm: Vm): Promise<number> {
  const value = await (await host.boot(vm)).readDisk()
  await vm.stop().unwrap()
  return value
}

test('a VM is moved to another file system with all of its parts, step by step', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await vmWith(host, 1)
  const guest = await host.boot(vm)
  await guest.writeDisk(2)
  const counted = await guest.count()
  await vm.suspend().unwrap()
  const phases: (string | undefined)[] = []
  const states = host.server.events({ vmId: vm.id })
  await vm.migrate(target.uri, { onProgress: ({ phase }) => phases.push(phase) }).unwrap()
  expect([...new Set(phases)]).toEqual(expect.arrayContaining(['copying', 'handing over']))
  for await (const event of states) {
    expect(event).toMatchObject({ type: 'state', state: 'migrating', previous: 'suspended' })
    break
  }
  expect(vmsIn(host)).toEqual([])
  const there = await target.server.getVm(vm.id).unwrap()
  expect(there.state).toBe('suspended')
  expect(definitionOf(target, there)).not.toHaveProperty('movedFrom')
  await there.resume().unwrap()
  const again = new SerialGuest(there)
  expect([await again.count(), await again.readDisk()]).toEqual([counted + 1, 2])
  await there.stop({ mode: 'kill' }).unwrap()
  const [snapshot] = await there.getSnapshotTree().unwrap()
  await there.switchToSnapshot(snapshot!.id).unwrap()
  expect(await read(target, there)).toBe(1)
  expect(await target.damage(there)).toEqual([])
})

test('a VM that runs is not moved to another file system, and runs on', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await host.createVm()
  await host.boot(vm)
  const error = await failureOf(vm.migrate(target.uri), 'INVALID_STATE')
  expect(error.hint).toContain('vm.suspend()')
  expect(await vm.getState().unwrap()).toBe('running')
  expect(vmsIn(target)).toEqual([])
})

test.each(['disk-', 'base-'])('a VM that has lost a %s file is not copied, and nothing is changed', async (kind) => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await vmWith(host, 1)
  const name = readdirSync(host.folderOf(vm)).find((file) => file.startsWith(kind))
  const path = join(host.folderOf(vm), name!)
  await rename(path, join(host.folder, 'aside'))
  const before = definitionOf(host, vm)
  const error = await failureOf(vm.migrate(target.uri), 'PROTOCOL_ERROR')
  expect(error.message).toContain(path)
  expect(vmsIn(target)).toEqual([])
  expect(definitionOf(host, vm)).toEqual(before)
  await rename(join(host.folder, 'aside'), path)
  await vm.migrate(target.uri).unwrap()
})

test('a move that is cancelled leaves the VM where it is, and nothing on the other side', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await vmWith(host, 1)
  const cancellation = new AbortController()
  const job = vm.migrate(target.uri, {
    signal: cancellation.signal,
    onProgress: ({ phase }) => {
      if (phase === 'copying') cancellation.abort()
    },
  })
  await failureOf(job, 'JOB_CANCELLED')
  expect(vmsIn(target)).toEqual([])
  expect(await vm.getState().unwrap()).toBe('stopped')
  expect(definitionOf(host, vm)).not.toHaveProperty('movingTo')
  expect(await read(host, vm)).toBe(1)
})

test.each(['there', 'there: copying', 'there: handing over', 'back', 'back: copying', 'back: handing over'])(
  'a process that is killed at "%s" of a move leaves one VM, on one side',
  async (moment) => {
    await using host = await QmpHost.open()
    await using target = await QmpHost.open(elsewhere)
    await vmWith(host, 1)
    const child = new Child('host-child.ts', [host.uri, 'wander', host.kernel, target.uri])
    await child.printed(moment)
    await child.kill()
    // The directory that is opened first settles the move; the other may be opened much later.
    const order = moment.startsWith('there') ? [host, target] : [target, host]
    const found: [QmpHost, Vm][] = []
    for (const each of order) {
      const server = await connect(each.uri).unwrap()
      await server.close().unwrap()
      for (const vm of await each.server.getVmList().unwrap()) found.push([each, vm])
    }
    expect(found).toHaveLength(1)
    const [[side, vm]] = found as [[QmpHost, Vm]]
    expect(await read(side, vm)).toBe(1)
    expect(definitionOf(side, vm)).not.toHaveProperty('movingTo')
    expect(definitionOf(side, vm)).not.toHaveProperty('movedFrom')
    expect(await side.damage(vm)).toEqual([])
    await vm.delete().unwrap()
    expect([...vmsIn(host), ...vmsIn(target)]).toEqual([])
  },
)

test('a process that is killed while it moves a VM that runs leaves it running, on one side', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(3)
  guest.close()
  const child = new Child('host-child.ts', [host.uri, 'wander', host.kernel, target.uri])
  await child.printed('back')
  await child.kill()
  const lists = [await host.server.getVmList().unwrap(), await target.server.getVmList().unwrap()].flat()
  expect(lists).toHaveLength(1)
  expect(await lists[0]!.getState().unwrap()).toBe('running')
  expect(await new SerialGuest(lists[0]!).readDisk()).toBe(3)
  expect([...(await qemusIn(host.directory)), ...(await qemusIn(target.directory))]).toHaveLength(1)
})

/** The state after a crash just after the copy was added to the other directory. */
async function halfMoved(host: QmpHost, target: QmpHost): Promise<Vm> {
  const vm = await vmWith(host, 1)
  // A connection's sign of life is a FIFO, which is not copied.
  const filter = (path: string): boolean => !statSync(path).isFIFO()
  cpSync(host.folderOf(vm), target.folderOf(vm), { recursive: true, filter })
  mark(host, vm, { movingTo: target.directory })
  mark(target, vm, { movedFrom: host.folderOf(vm) })
  return vm
}

function mark(host: QmpHost, vm: Vm, marks: object): void {
  writeFileSync(join(host.folderOf(vm), 'vm.json'), JSON.stringify({ ...definitionOf(host, vm), ...marks }))
}

test('of a VM that is on both sides, the original is removed when it is used', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await halfMoved(host, target)
  await failureOf(vm.start(), 'VM_NOT_FOUND')
  expect(vmsIn(host)).toEqual([])
  const there = await target.server.getVm(vm.id).unwrap()
  expect(await read(target, there)).toBe(1)
  expect(definitionOf(target, there)).not.toHaveProperty('movedFrom')
})

test('of a VM that is on both sides, the copy removes the original when it is used', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await halfMoved(host, target)
  const there = await target.server.getVm(vm.id).unwrap()
  await there.delete().unwrap()
  expect([...vmsIn(host), ...vmsIn(target)]).toEqual([])
})

test('a folder that was not being moved here is left alone, even if a definition names it', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await halfMoved(host, target)
  mark(host, vm, { movingTo: host.directory })
  await (await target.server.getVm(vm.id).unwrap()).edit({ description: 'here' }).unwrap()
  expect(vmsIn(host)).toEqual([vm.id])
})

test('a VM whose other side is not there is refused', async () => {
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(elsewhere)
  const vm = await vmWith(host, 1)
  mark(host, vm, { movingTo: target.directory })
  await rename(target.directory, `${target.directory}-away`)
  const error = await failureOf(vm.start(), 'RESOURCE_BUSY')
  expect(error.hint).toContain('mounting')
  await rename(`${target.directory}-away`, target.directory)
  expect(await read(host, vm)).toBe(1)
  expect(definitionOf(host, vm)).not.toHaveProperty('movingTo')
})
