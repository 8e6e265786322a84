import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { acceleratorFor } from '../../../../src/drivers/qmp/process/accelerator.js'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { debianArm64 } from '../../../support/debian-arm64.js'
import { bootToShell, runInShell } from '../../../support/linux-shell.js'
import { missingFile, missingQemu, missingTools, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

const missing =
  missingQemu ??
  missingTools('qemu-system-aarch64') ??
  missingFile('/usr/share/AAVMF/AAVMF_CODE.fd', 'qemu-efi-aarch64')

const run = promisify(execFile)

const bootTimeoutMs = 120_000

test('an aarch64 VM starts its UEFI, and boots Linux with its disk, network and memory', async (context) => {
  skipWithout(context, missing)
  const linux = await debianArm64()
  if (linux.unavailable !== undefined) {
    skipWithout(context, linux.unavailable)
    return
  }
  await using host = await QmpHost.open()
  const vm = await host.createVm({
    architecture: 'aarch64',
    memoryMiB: 256,
    cpus: 2,
    boot: {},
    disks: [{ sizeMiB: 8 }],
    networkAdapters: [{}],
  })
  expect(vm.config).toMatchObject({ architecture: 'aarch64', disks: [{ bus: 'virtio' }] })
  expect(vm.config.machine).toBeUndefined()
  await vm.start().unwrap()
  const firmware = new ConsoleReader(vm.console())
  await firmware.until('UEFI', bootTimeoutMs)
  firmware.close()
  await vm.stop({ mode: 'kill' }).unwrap()

  const { kernel, initrd } = linux
  await vm.edit({ boot: { kernel, initrd, commandLine: 'console=ttyAMA0 quiet' } }).unwrap()
  const shell = await bootToShell(vm)
  expect(await runInShell(shell, 'uname -m; nproc')).toMatch(/aarch64\s+2\s/)
  expect(await runInShell(shell, 'cat /sys/block/vda/size')).toContain('16384')
  const [adapter] = vm.config.networkAdapters ?? []
  expect(await runInShell(shell, 'cat /sys/class/net/eth0/address')).toContain(adapter?.macAddress)

  await runInShell(shell, 'echo kept > /kept')
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  const resumed = new ConsoleReader(vm.console())
  expect(await runInShell(resumed, 'cat /kept')).toContain('kept\r')
  const disks = [...vm.config.disks, { sizeMiB: 8 }]
  const error = await failureOf(vm.edit({ disks }), 'INVALID_STATE')
  expect(error.message).toContain('the disks of an aarch64 VM are only added and removed while it is stopped')
  await vm.stop({ mode: 'kill' }).unwrap()
})

test('a guest that was booted by UEFI has a power button, by which it is shut down', async (context) => {
  skipWithout(context, missing ?? missingTools('mcopy'))
  const linux = await debianArm64()
  if (linux.unavailable !== undefined) {
    skipWithout(context, linux.unavailable)
    return
  }
  await using host = await QmpHost.open()
  // The kernel is a program for UEFI, too.
  const image = join(host.folder, 'boot.img')
  await run('mformat', ['-i', image, '-C', '-T', '131072', '::'])
  await writeFile(join(host.folder, 'startup.nsh'), 'fs0:\\vmlinuz initrd=\\initrd.gz console=ttyAMA0 quiet\r\n')
  await run('mcopy', ['-i', image, linux.kernel, linux.initrd, join(host.folder, 'startup.nsh'), '::'])
  const vm = await host.createVm({ architecture: 'aarch64', memoryMiB: 512, boot: {}, disks: [{ image }] })
  await vm.start().unwrap()
  await new ConsoleReader(vm.console()).until('shell ready', bootTimeoutMs)
  expect(await vm.stop().unwrap()).toBe('shutdown')
})

test('what only a PC has is refused by its path, and nothing is made', async (context) => {
  skipWithout(context, missing)
  await using host = await QmpHost.open()
  const image = host.kernel
  for (const [path, spec] of [
    ['spec.machine', { machine: 'q35' }],
    ['spec.floppies', { floppies: [{ image }] }],
    ['spec.boot.firmware', { boot: { firmware: 'bios' } }],
    ['spec.boot.videoFirmware', { boot: { videoFirmware: image } }],
    ['spec.boot.kernel', { boot: { kernel: image } }],
    ['spec.disks[0].bus', { disks: [{ sizeMiB: 1, bus: 'sata' }] }],
    ['spec.cdroms[0].bus', { cdroms: [{ image, bus: 'ide' }] }],
  ] as const) {
    const creation = host.server.createVm({ name: 'arm', architecture: 'aarch64', boot: {}, ...spec })
    const error = await failureOf(creation, 'INVALID_ARGUMENT')
    expect(error.path).toBe(path)
  }
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test('an edit keeps the architecture, which follows from the machine', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  expect(vm.config.architecture).toBe('x86_64')
  expect(await readFile(`${host.folderOf(vm)}/vm.json`, 'utf8')).not.toContain('architecture')
  expect((await vm.edit({ architecture: 'x86_64', cpus: 2 }).unwrap()).cpus).toBe(2)
  const error = await failureOf(vm.edit({ architecture: 'aarch64', cpus: 1 }), 'INVALID_ARGUMENT')
  expect(error.path).toBe('changes.architecture')
  expect((await vm.refresh().unwrap()).cpus).toBe(2)
})

test('guests of the other architecture are emulated, also if an accelerator is forced', () => {
  const other = process.arch === 'arm64' ? undefined : 'aarch64'
  if (other !== undefined) expect([acceleratorFor(other), acceleratorFor(other, 'kvm')]).toEqual(['tcg', 'tcg'])
  expect(acceleratorFor('x86_64', 'kvm')).toBe('kvm')
})
