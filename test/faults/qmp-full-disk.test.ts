import { readdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { expectPauseForRoom } from '../support/full-disk.js'
import { SmallFileSystem } from '../support/small-file-system.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

test('a VM whose disk does not fit is not made, and takes no space', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using host = await QmpHost.open(room.folder)
  await host.createVm({ name: 'first' })
  await room.fill(100)
  const free = room.freeBytes
  const error = await failureOf(
    host.server.createVm({ name: 'second', disks: [{ sizeMiB: 100 }] }),
    'INSUFFICIENT_RESOURCES',
  )
  expect(error.hint).toContain('room')
  expect(room.freeBytes).toBeGreaterThanOrEqual(free - 16 * 1024)
  expect(await host.server.getVmList().unwrap()).toHaveLength(1)
})

test('an operation without enough space leaves the VM as it was, and frees what it took', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using host = await QmpHost.open(room.folder)
  const image = join(host.folder, 'image')
  await writeFile(image, Buffer.alloc(1 << 20, 0x6b))
  const vm = await host.createVm({ disks: [{ image }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x4e)
  const before = readdirSync(host.folderOf(vm)).filter((name) => name.endsWith('.qcow2'))
  const filler = await room.fill(300)
  for (const job of [() => vm.createSnapshot({ name: 'one' }), () => vm.suspend(), () => vm.clone({ name: 'copy' })]) {
    await failureOf(job(), 'INSUFFICIENT_RESOURCES')
    expect(await vm.getState().unwrap()).toBe('running')
    expect(await guest.readDisk()).toBe(0x4e)
    expect(readdirSync(host.folderOf(vm)).filter((name) => name.endsWith('.qcow2'))).toEqual(before)
    expect(room.freeBytes).toBeGreaterThan(200 * 1024)
  }
  expect(await vm.getSnapshotTree().unwrap()).toEqual([])
  expect(await host.server.getVmList().unwrap()).toEqual([vm])

  await rm(filler)
  await vm.createSnapshot({ name: 'one' }).unwrap()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await host.damage(vm)).toEqual([])
})

const disksOf = (host: QmpHost, vm: Vm): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.endsWith('.qcow2'))

test('a VM that does not fit in the other directory stays where it is', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using host = await QmpHost.open()
  await using target = await QmpHost.open(room.folder)
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x4e)
  await vm.suspend().unwrap()
  await room.fill(300)
  const free = room.freeBytes
  await failureOf(vm.migrate(target.uri), 'INSUFFICIENT_RESOURCES')
  expect(await vm.getState().unwrap()).toBe('suspended')
  expect(await target.server.getVmList().unwrap()).toEqual([])
  expect(room.freeBytes).toBeGreaterThanOrEqual(free - 16 * 1024)
  await vm.resume().unwrap()
  expect(await new SerialGuest(vm).readDisk()).toBe(0x4e)
})

test('a linked clone or a snapshot in a base that does not fit leaves the VM as it was', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using host = await QmpHost.open(room.folder)
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  await guest.writeDisk(0x4e)
  await vm.stop().unwrap()
  const { id } = await vm.createSnapshot({ name: 'one' }).unwrap()
  const before = disksOf(host, vm)
  // Enough for one of the two files that are made.
  const filler = await room.fill(20)
  const free = room.freeBytes
  await failureOf(vm.clone({ name: 'copy', linked: true }), 'INSUFFICIENT_RESOURCES')
  expect(disksOf(host, vm)).toEqual(before)
  expect(room.freeBytes).toBeGreaterThanOrEqual(free - 8 * 1024)
  expect(await host.server.getVmList().unwrap()).toEqual([vm])

  await rm(filler)
  const clone = await vm.clone({ name: 'copy', linked: true }).unwrap()
  const running = await host.boot(vm)
  await running.writeDisk(0x4f)
  const linked = disksOf(host, vm)
  await room.fill(100)
  await failureOf(vm.switchToSnapshot(id), 'INSUFFICIENT_RESOURCES')
  expect(await vm.getState().unwrap()).toBe('running')
  expect(await running.readDisk()).toBe(0x4f)
  expect(disksOf(host, vm)).toEqual(linked)

  await rm(filler)
  await vm.switchToSnapshot(id).unwrap()
  for (const each of [vm, clone]) {
    expect(await (await host.boot(each)).readDisk()).toBe(0x4e)
    await each.stop().unwrap()
    expect(await host.damage(each)).toEqual([])
  }
})

test('a guest that has no space to write is paused, with the reason, and continues when there is space', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using host = await QmpHost.open(room.folder)
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const guest = await host.boot(vm)
  let filler = ''
  let writing: Promise<void> | undefined
  await expectPauseForRoom({
    server: host.server,
    vm,
    fill: async () => {
      filler = await room.fill(0)
      writing = guest.writeDisk(0x4e)
    },
    makeRoom: () => rm(filler),
  })
  await writing
  expect(await guest.readDisk()).toBe(0x4e)
})
