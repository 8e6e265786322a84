import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const mebibyte = 1 << 20

test('a linked clone, and a VM that was moved or registered again, remember the image of their disks', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const image = join(host.folder, 'image')
  await writeFile(image, Buffer.alloc(mebibyte, 0x7e))
  const vm = await host.createVm({ disks: [{ image }] })
  const clone = await vm.clone({ name: 'clone', linked: true }).unwrap()
  const moved = await vm.clone({ name: 'moved' }).unwrap()
  await moved.migrate(other.uri).unwrap()
  await clone.unregister().unwrap()

  await rename(image, `${image}.old`)
  await writeFile(image, Buffer.alloc(mebibyte, 0x41))
  const registered = await host.server.registerVm(join(host.directory, 'unregistered', clone.id)).unwrap()
  const there = await other.server.getVm('moved').unwrap()
  for (const each of [registered, there]) {
    expect((await failureOf(each.start(), 'INVALID_ARGUMENT')).path).toBe('config.disks[0].image')
  }
  await failureOf(registered.clone({ name: 'another', linked: true }), 'INVALID_ARGUMENT')

  await rename(`${image}.old`, image)
  expect(await (await host.boot(registered)).readDisk()).toBe(0x7e)
  expect(await (await other.boot(there)).readDisk()).toBe(0x7e)
})

test('a disk whose image is gone can be grown, and removed', async () => {
  await using host = await QmpHost.open()
  const image = join(host.folder, 'image')
  await writeFile(image, Buffer.alloc(mebibyte, 0x7e))
  const vm = await host.createVm({ disks: [{ image }] })
  await rename(image, `${image}.old`)
  const [disk] = vm.config.disks
  await vm.edit({ disks: [{ ...disk!, sizeMiB: 2 }] }).unwrap()
  await rename(`${image}.old`, image)
  expect(await (await host.boot(vm)).readDisk()).toBe(0x7e)
  await vm.stop().unwrap()
  await rename(image, `${image}.old`)
  await vm.edit({ deleteDisks: [disk!.id] }).unwrap()
  await host.boot(vm)
})
