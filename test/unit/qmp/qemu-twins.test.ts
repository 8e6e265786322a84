import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { connect as connectTo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import type { Definition } from '../../../src/drivers/qmp/definition.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { SerialGuest } from '../../../src/testing/conformance/serial-guest.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const filesOf = (host: QmpHost, vm: Vm, kind: 'disk' | 'base' | 'memory'): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.startsWith(`${kind}-`))

const definitionOf = (host: QmpHost, vm: Vm): Definition =>
  JSON.parse(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8')) as Definition

const digestOf = (host: QmpHost, vm: Vm, file: string): string =>
  createHash('sha256')
    .update(readFileSync(join(host.folderOf(vm), file)))
    .digest('hex')

test('clones of a snapshot share its memory and one copy of its disks, which nobody writes to', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x11)
  const snapshot = await vm.createSnapshot({ name: 'booted' }).unwrap()
  const [memory] = filesOf(host, vm, 'memory')
  const digest = digestOf(host, vm, memory!)
  const clones: Vm[] = []
  for (const name of ['a', 'b', 'c']) clones.push(await vm.clone({ name, memory: true, snapshot }).unwrap())
  await guest.writeDisk(0x22)
  const [base] = filesOf(host, vm, 'base')
  expect(filesOf(host, vm, 'base')).toEqual([base])
  expect(statSync(join(host.folderOf(vm), base!)).nlink).toBe(4)
  const baseDigest = digestOf(host, vm, base!)
  for (const [index, clone] of clones.entries()) {
    expect(filesOf(host, clone, 'memory'), 'memory that does not match the disk any more').toEqual([])
    const twin = new SerialGuest(clone)
    await twin.writeDisk(index)
    await clone.stop({ mode: 'kill' }).unwrap()
    expect(await host.damage(clone)).toEqual([])
  }
  await vm.switchToSnapshot(snapshot).unwrap()
  expect(await new SerialGuest(vm).readDisk()).toBe(0x11)
  expect(digestOf(host, vm, memory!)).toBe(digest)
  expect(digestOf(host, vm, base!)).toBe(baseDigest)
  await vm.deleteSnapshot(snapshot).unwrap()
  expect([...filesOf(host, vm, 'memory'), ...filesOf(host, vm, 'base')]).toEqual([])
  const [first] = clones
  expect(await (await host.boot(first!)).readDisk()).toBe(0)
})

test('a running VM that is cloned again and again keeps its disk, over suspensions, snapshots and a new start', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  const clones: Vm[] = []
  for (let value = 1; value <= 3; value += 1) {
    await guest.writeDisk(value)
    const memory = value !== 2
    clones.push(await vm.clone({ name: `clone-${value}`, memory, linked: !memory }).unwrap())
  }
  expect(await guest.readDisk()).toBe(3)
  const snapshot = await vm.createSnapshot({ name: 'cloned' }).unwrap()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  const resumed = new SerialGuest(vm)
  await resumed.writeDisk(4)
  await vm.clone({ name: 'copy' }).unwrap()
  await vm.switchToSnapshot(snapshot).unwrap()
  const switched = new SerialGuest(vm)
  expect(await switched.readDisk()).toBe(3)
  await vm.deleteSnapshot(snapshot).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ disks: vm.config.disks.map(({ id }) => ({ id, sizeMiB: 2 })) }).unwrap()
  expect(filesOf(host, vm, 'disk')).toEqual(definitionOf(host, vm).hardware.disks.map(({ file }) => file))
  expect(await host.damage(vm)).toEqual([])
  expect(await (await host.boot(vm)).readDisk()).toBe(3)
  for (const [index, clone] of clones.entries()) {
    if (clone.state === 'running') await clone.stop({ mode: 'kill' }).unwrap()
    expect(await (await host.boot(clone)).readDisk()).toBe(index + 1)
  }
})

test('a clone with memory has the addresses of the original, and its forwards at ports of its own', async () => {
  await using host = await QmpHost.open()
  const networkAdapters = [{ portForwards: [{ guestPort: 22 }] }]
  const vm = await host.createVm({ networkAdapters })
  await host.boot(vm)
  const [before] = (await vm.refresh().unwrap()).networkAdapters ?? []
  const hostPort = before?.portForwards?.[0]?.hostPort
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ networkAdapters: [{ portForwards: [{ guestPort: 22, hostPort }] }] }).unwrap()
  await host.boot(vm)
  const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
  const [after] = twin.config.networkAdapters ?? []
  expect(after?.macAddress).toBe(before?.macAddress)
  const found = after?.portForwards?.[0]?.hostPort
  expect(found).toBeTypeOf('number')
  expect(found).not.toBe(hostPort)
  for (const port of [hostPort, found]) {
    const socket = connectTo({ port: port!, host: '127.0.0.1' })
    await once(socket, 'connect')
    socket.destroy()
  }
})

test('a clone with memory that is cancelled while it loads is not there, and the original runs on', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  const cancelling = new AbortController()
  const cloning = vm.clone({
    name: 'twin',
    memory: true,
    signal: cancelling.signal,
    onProgress: ({ phase }) => {
      if (phase === 'loading memory') cancelling.abort()
    },
  })
  await failureOf(cloning, 'JOB_CANCELLED')
  expect(await host.server.getVmList().unwrap()).toEqual([vm])
  await guest.writeDisk(7)
  expect(await guest.readDisk()).toBe(7)
  expect(await (await vm.clone({ name: 'twin', memory: true }).unwrap()).getState().unwrap()).toBe('running')
})

test('a VM on a private network is not cloned with memory, since the clone would have its addresses there', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ networkAdapters: [{ network: { private: 'lab' } }] })
  await host.boot(vm)
  const error = await failureOf(vm.clone({ name: 'twin', memory: true }), 'NOT_SUPPORTED')
  expect(error).toMatchObject({ capability: 'vm.clone.memory', path: 'config.networkAdapters[0].network' })
  await vm.clone({ name: 'linked', linked: true }).unwrap()
  expect(await vm.getState().unwrap()).toBe('running')
})
