import { readdirSync, statSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { SerialGuest } from '../conformance/serial-guest.js'
import { failureOf } from '../support/expect-failure.js'
import { SmallFileSystem } from '../support/small-file-system.js'

test('a start that has no room leaves no half of a disk, and the VM can be cloned and started', async (context) => {
  await using room = await SmallFileSystem.mount(context)
  await using server = await connect(`embedded://${join(room.folder, 'vms')}`).unwrap()
  const kernel = join(room.folder, 'guest.bin')
  await writeFile(kernel, builtInGuest())
  const vm = await server
    .createVm({ name: 'web-1', memoryMiB: 16, disks: [{ sizeMiB: 1 }, { sizeMiB: 64 }], boot: { kernel } })
    .unwrap()
  const folder = join(room.folder, 'vms', 'vms', vm.id)
  const written = (): string[] =>
    readdirSync(folder).filter((name) => name.startsWith('disk-') && statSync(join(folder, name)).blocks > 0)

  const filler = await room.fill(0)
  const error = await failureOf(vm.start(), 'INSUFFICIENT_RESOURCES')
  expect(error.hint).toContain('room')
  expect(await vm.getState().unwrap()).toBe('stopped')
  expect(written()).toEqual([])
  expect(readdirSync(folder).filter((name) => name.endsWith('.map'))).toEqual([])

  await rm(filler)
  const clone = await vm.clone({ name: 'copy' }).unwrap()
  for (const each of [vm, clone]) {
    await each.start().unwrap()
    const guest = new SerialGuest(each)
    await guest.untilReady()
    await guest.writeDisk(0x4e)
    expect(await guest.readDisk()).toBe(0x4e)
    await each.stop().unwrap()
  }
})
