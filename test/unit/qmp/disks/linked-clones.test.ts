import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { SerialGuest } from '../../../../src/testing/conformance/serial-guest.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const filesOf = (host: QmpHost, vm: Vm, kind: 'disk' | 'base'): string[] =>
  readdirSync(host.folderOf(vm))
    .filter((name) => name.startsWith(`${kind}-`))
    .sort()

/** Each base by its name: its content, and how many VMs have it. */
function basesOf(host: QmpHost, vm: Vm): Map<string, { digest: string; vms: number }> {
  const described = filesOf(host, vm, 'base').map((name) => {
    const path = join(host.folderOf(vm), name)
    const digest = createHash('sha256').update(readFileSync(path)).digest('hex')
    return [name, { digest, vms: statSync(path).nlink }] as const
  })
  return new Map(described)
}

/** A stopped VM whose disk begins with these bytes. */
async function vmWith(host: QmpHost, value: number): Promise<Vm> {
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await write(host, vm, value)
  return vm
}

async function write(host: QmpHost, vm: Vm, value: number): Promise<void> {
  const guest = await host.boot(vm)
  await guest.writeDisk(value)
  await vm.stop().unwrap()
}

async function read(host: QmpHost, vm: Vm): Promise<number> {
  const guest = await host.boot(vm)
  const value = await guest.readDisk()
  await vm.stop().unwrap()
  return value
}

const linked = (vm: Vm, name: string): Promise<Vm> => vm.clone({ name, linked: true }).unwrap()

test('a base is in all of its VMs, is never written to, and exists until the last of them is deleted', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, 1)
  const clones = [await linked(vm, 'one'), await linked(vm, 'two')]
  const before = basesOf(host, vm)
  expect([...before.values()]).toMatchObject([{ vms: 3 }])
  for (const [index, each] of [vm, ...clones].entries()) {
    expect(await read(host, each)).toBe(1)
    await write(host, each, 10 + index)
  }
  expect(basesOf(host, vm)).toEqual(before)
  for (const [index, each] of [vm, ...clones].entries()) {
    expect(await read(host, each)).toBe(10 + index)
    expect(await host.damage(each)).toEqual([])
  }
  const [one, two] = clones as [Vm, Vm]
  await vm.delete().unwrap()
  expect(await read(host, one)).toBe(11)
  expect([...basesOf(host, one).values()]).toMatchObject([{ vms: 2 }])
  await one.delete().unwrap()
  expect(await read(host, two)).toBe(12)
  await two.delete().unwrap()
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([])
})

test('linked clones of a VM whose disk was not written to in between share one base', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, 1)
  const clones = [await linked(vm, 'a'), await linked(vm, 'b')]
  const ofClone = await linked(clones[0]!, 'of-clone')
  expect(filesOf(host, ofClone, 'base')).toEqual(filesOf(host, vm, 'base'))
  expect(filesOf(host, vm, 'base')).toHaveLength(1)
  await write(host, vm, 2)
  const later = await linked(vm, 'later')
  expect(filesOf(host, later, 'base')).toHaveLength(2)
  expect(await read(host, later)).toBe(2)
  expect(await read(host, clones[1]!)).toBe(1)
  expect(await read(host, ofClone)).toBe(1)
})

test('linked clones and full clones of them work after the VMs that they were made from are deleted', async () => {
  await using host = await QmpHost.open()
  const image = join(host.folder, 'image')
  await writeFile(image, Buffer.alloc(1 << 20, 0x6b))
  const first = await host.createVm({ disks: [{ image }] })
  const second = await linked(first, 'second')
  expect(await read(host, second)).toBe(0x6b)
  await write(host, second, 2)
  const third = await linked(second, 'third')
  await first.delete().unwrap()
  await second.delete().unwrap()
  const stopped = await third.clone({ name: 'stopped' }).unwrap()
  const guest = await host.boot(third)
  expect(await guest.readDisk()).toBe(2)
  await guest.writeDisk(3)
  const live = await third.clone({ name: 'live' }).unwrap()
  await third.stop({ mode: 'kill' }).unwrap()
  await third.delete().unwrap()
  expect(await read(host, stopped)).toBe(2)
  expect(await read(host, live)).toBe(3)
  for (const vm of [stopped, live]) expect(await host.damage(vm)).toEqual([])
})

test('snapshots that are older than a linked clone can still be switched to and deleted', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, 1)
  const stopped = await vm.createSnapshot({ name: 'stopped' }).unwrap()
  const guest = await host.boot(vm)
  await guest.writeDisk(2)
  const counted = await guest.count()
  const running = await vm.createSnapshot({ name: 'running' }).unwrap()
  await guest.writeDisk(3)
  await vm.stop().unwrap()
  const clone = await linked(vm, 'clone')
  const before = basesOf(host, vm)

  await write(host, vm, 4)
  await vm.switchToSnapshot(stopped.id).unwrap()
  expect(await read(host, vm)).toBe(1)
  await write(host, vm, 5)
  await vm.switchToSnapshot(running.id).unwrap()
  expect(await vm.getState().unwrap()).toBe('running')
  const back = new SerialGuest(vm)
  expect(await back.count()).toBe(counted + 1)
  expect(await back.readDisk()).toBe(2)
  await back.writeDisk(6)
  // After it was copied out of the base, it is like any other snapshot.
  await vm.switchToSnapshot(running.id).unwrap()
  expect(await new SerialGuest(vm).readDisk()).toBe(2)
  await vm.stop().unwrap()
  await vm.switchToSnapshot(stopped.id).unwrap()
  expect(await read(host, vm)).toBe(1)

  expect([...basesOf(host, clone).values()].map(({ digest }) => digest)).toEqual(
    [...before.values()].map(({ digest }) => digest),
  )
  expect(await clone.getSnapshotTree().unwrap()).toEqual([])
  await vm.deleteSnapshot(stopped.id).unwrap()
  await vm.deleteSnapshot(running.id).unwrap()
  expect(await host.damage(vm)).toEqual([])
  await clone.delete().unwrap()
  expect(await read(host, vm)).toBe(1)
})

test('a snapshot in a base is deleted, but not the base, which other VMs have', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, 1)
  const snapshot = await vm.createSnapshot({ name: 'one' }).unwrap()
  const clone = await linked(vm, 'clone')
  const before = basesOf(host, vm)
  await vm.deleteSnapshot(snapshot.id).unwrap()
  expect(basesOf(host, vm)).toEqual(before)
  expect(await read(host, clone)).toBe(1)
})

test('linked clones make no events of the original', async () => {
  await using host = await QmpHost.open()
  const vm = await vmWith(host, 1)
  const events = host.server.events({ vmId: vm.id })
  const { config } = vm
  await linked(vm, 'clone')
  await vm.edit({ description: 'edited' }).unwrap()
  for await (const event of events) {
    expect(event.type).toBe('config')
    break
  }
  expect(vm.config).toEqual({ ...config, description: 'edited' })
  expect(filesOf(host, vm, 'disk')).toHaveLength(1)
})
