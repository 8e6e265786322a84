import { execFileSync } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { openMonitor } from '../../../src/drivers/qmp/process/monitor.js'
import { patience } from '../../../src/testing/conformance/deadline.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

test('a QEMU that tries to start a program is killed by the system', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const proof = join(host.folder, 'proof')
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  await monitor.execute('migrate', { uri: `exec:touch ${proof}` }).catch(() => undefined)
  await monitor.close()
  await vm.waitForState('crashed', patience).unwrap()
  await expect(stat(proof)).rejects.toThrow('ENOENT')
})

test('the files of a VM can not be read by other users', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await host.boot(vm)
  for (const folder of [host.directory, join(host.directory, 'vms'), host.folderOf(vm)]) {
    expect((await stat(folder)).mode & 0o077).toBe(0)
  }
})

test('a raw disk whose guest has written the header of another format is used as raw', async () => {
  await using host = await QmpHost.open()
  const secret = join(host.folder, 'secret')
  await writeFile(secret, Buffer.alloc(1 << 20, 0x53))
  const trap = join(host.folder, 'trap')
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', trap])
  const error = await failureOf(host.server.createVm({ name: 'trapped', disks: [{ image: trap }] }), 'INVALID_ARGUMENT')
  expect(error.hint).toContain('convert')

  // The header is written after the check, as a guest that shares the image could do.
  const image = join(host.folder, 'image')
  await writeFile(image, Buffer.alloc(1 << 20))
  const vm = await host.createVm({ disks: [{ image }] })
  const header = await readFile(trap)
  const times = join(host.folder, 'times')
  execFileSync('cp', ['-p', image, times])
  await writeFile(image, Buffer.concat([header, Buffer.alloc((1 << 20) - header.byteLength)]))
  execFileSync('touch', ['-r', times, image])
  const guest = await host.boot(vm)
  expect(await guest.readDisk(), 'the second sector of the image itself').toBe(header[512])
})

test('a start that fails quotes the output of QEMU', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const disk = (await readdir(host.folderOf(vm))).find((file) => file.startsWith('disk-'))!
  await writeFile(join(host.folderOf(vm), disk), Buffer.alloc(1 << 20))
  const error = await failureOf(vm.start(), 'HOST_ERROR')
  expect(error.native).toMatchObject({ driver: 'qmp', code: 1 })
  expect(error.native.message).toContain('Image is not in qcow2 format')
  expect(await vm.getState().unwrap()).toBe('stopped')
})

test('a directory with a path of any length can be used', async () => {
  await using host = await QmpHost.open()
  await using server = await connect(`qmp://${join(host.folder, 'x'.repeat(120), 'y'.repeat(60))}`).unwrap()
  const vm = await server.createVm({ name: 'far', memoryMiB: 16, boot: { kernel: host.kernel } }).unwrap()
  await vm.start().unwrap()
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.stop({ mode: 'kill' }).unwrap()
})
