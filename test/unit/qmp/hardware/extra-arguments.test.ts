import { readFile, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { checkExtraArguments } from '../../../../src/drivers/qmp/hardware/extra-arguments.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

const refusalOf = (words: readonly string[]): unknown => {
  try {
    checkExtraArguments(words, 'spec')
    return undefined
  } catch (error) {
    return error
  }
}

test.each<[string[]]>([
  [['-device', 'virtio-rng-pci']],
  [['-cpu', 'max,-x2apic', '-rtc', 'base=localtime']],
  [['--object', '{"qom-type":"rng-random","id":"rng0","filename":"/dev/urandom"}']],
  [['-vnc', ':7', '-no-hpet']],
  [['-fw_cfg', 'name=opt/net0,string=memory']],
])('%j is given to QEMU', (words) => {
  expect(refusalOf(words)).toBeUndefined()
})

test.each<[string[], number, string]>([
  [['-m', '64'], 0, 'Use memoryMiB.'],
  [['-device', 'usb-ehci', '--smp', '2'], 2, 'Use cpus.'],
  [['-S'], 0, 'awaitvm starts and ends QEMU itself.'],
  [['-qmp', 'stdio'], 0, 'awaitvm has monitors of its own.'],
  [['-incoming', 'defer'], 0, 'Use vm.suspend(), snapshots or vm.clone({ memory: true }).'],
  [['-drive', 'file=/x,if=none,id=drive-cdrom0'], 1, 'Use another name.'],
  [['-blockdev', '{"driver":"null-co","node-name":"disk-a"}'], 1, 'Use another name.'],
  [['-chardev', 'null,id=control'], 1, 'Use another name.'],
  [['-device', 'usb-ehci', '/images/disk.raw'], 2, 'Give an option and its value as two arguments'],
  [['usb-tablet'], 0, 'Give an option and its value as two arguments'],
])('%j is refused, and what to use instead is told', (words, index, hint) => {
  expect(refusalOf(words)).toMatchObject({
    code: 'INVALID_ARGUMENT',
    path: `spec.native.arguments[${String(index)}]`,
    hint: expect.stringContaining(hint) as string,
  })
})

describe('on QEMU', () => {
  beforeEach((context) => {
    skipWithout(context, missingQemu)
  })

  test('arguments follow those of awaitvm, stay with the VM and its clones, and change while it is stopped', async () => {
    await using host = await QmpHost.open()
    const native = { arguments: ['-device', 'virtio-rng-pci,id=rng'] }
    const vm = await host.createVm({ native })
    await host.boot(vm)
    const words = (await readFile(`/proc/${String(await host.pidOf(vm))}/cmdline`, 'utf8')).split('\0').slice(0, -1)
    expect(words.slice(-2)).toEqual(native.arguments)
    const refusal = await failureOf(vm.edit({ native: {} }), 'INVALID_STATE')
    expect(refusal.message).toContain('its native arguments only change while it is stopped')
    await vm.suspend().unwrap()
    await vm.resume().unwrap()
    expect((await vm.clone({ name: 'clone' }).unwrap()).config.native).toEqual(native)
    await vm.stop({ mode: 'kill' }).unwrap()
    expect((await vm.edit({ native: {} }).unwrap()).native).toBeUndefined()
    await host.boot(vm)
  })

  test('what QEMU does not take ends the start with its words', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm({ native: { arguments: ['-device', 'no-such-device'] } })
    const error = await failureOf(vm.start(), 'HOST_ERROR', 'INVALID_ARGUMENT')
    expect(error.native?.message).toContain('no-such-device')
    expect(await vm.getState().unwrap()).toBe('stopped')
  })

  test('a VM with arguments is registered again in its own directory, and refused from elsewhere', async () => {
    await using host = await QmpHost.open()
    const native = { arguments: ['-chardev', 'file,id=out,path=/tmp/out'] }
    const vm = await host.createVm({ native })
    await vm.unregister().unwrap()
    const aside = join(host.directory, 'unregistered', vm.id)
    const elsewhere = join(host.folder, basename(aside))
    await rename(aside, elsewhere)
    const error = await failureOf(host.server.registerVm(elsewhere), 'INVALID_ARGUMENT')
    expect(error.message).toContain('it gives arguments of its own to QEMU, which may write to any file of yours')
    await rename(elsewhere, aside)
    expect((await host.server.registerVm(aside).unwrap()).config.native).toEqual(native)
  })
})
