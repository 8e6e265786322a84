import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingFile, missingQemu, missingTools, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'
import { bootLoaders, signedWords } from '../../../support/signed-boot.js'

const code = '/usr/share/OVMF/OVMF_CODE_4M.ms.fd'

beforeEach((context) => {
  skipWithout(context, missingQemu ?? missingFile(code, 'ovmf'))
})

const secure = { firmware: 'uefi', secureBoot: true } as const

interface Kept {
  readonly hardware: { readonly flash?: { readonly code: string; readonly variables: { readonly file: string } } }
}
const flashOf = (host: QmpHost, vm: Vm): Kept['hardware']['flash'] =>
  (JSON.parse(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8')) as Kept).hardware.flash

test('it gives the VM another firmware with keys in its variables, and an edit that changes it makes new ones', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ memoryMiB: 256, boot: secure })
  expect(vm.config.boot).toEqual(secure)
  const first = flashOf(host, vm)
  expect(first?.code).toBe(code)
  await vm.edit({ boot: { ...secure, order: ['cdrom'] } }).unwrap()
  expect(flashOf(host, vm)).toEqual(first)
  await vm.edit({ boot: { firmware: 'uefi' } }).unwrap()
  const plain = flashOf(host, vm)
  expect(plain?.code).not.toBe(code)
  expect(plain?.variables.file).not.toBe(first?.variables.file)
})

test('what can have no secure boot refuses it by its path', async () => {
  await using host = await QmpHost.open()
  const { kernel } = host
  const make = (boot: object, machine?: 'pc') => host.server.createVm({ name: 'vm', boot, ...(machine && { machine }) })
  const onPc = await failureOf(make(secure, 'pc'), 'INVALID_ARGUMENT')
  expect([onPc.path, onPc.message]).toEqual(['spec.boot.secureBoot', expect.stringContaining("machine 'q35'")])
  for (const boot of [{ secureBoot: true }, { firmware: 'bios' }, { firmware: code }, { kernel }]) {
    const error = await failureOf(make({ ...boot, secureBoot: true }), 'INVALID_ARGUMENT')
    expect(error.message).toContain('has secureBoot without firmware: "uefi"')
  }
  expect(await host.server.getVmList().unwrap()).toEqual([])
})

test('the firmware boots what is signed, and refuses what is not, which it boots without secure boot', async (context) => {
  skipWithout(
    context,
    missingTools('mcopy', 'grub-mkimage') ?? missingFile('/usr/lib/grub/x86_64-efi/fat.mod', 'grub-efi-amd64-bin'),
  )
  const { signed, unsigned } = await bootLoaders()
  await using host = await QmpHost.open()
  const boots = async (name: string, image: string, boot: object, said: string | RegExp): Promise<void> => {
    const vm = await host.server.createVm({ name, memoryMiB: 256, disks: [{ image }], boot }).unwrap()
    await vm.start().unwrap()
    const console = new ConsoleReader(vm.console())
    await console.until(said, 120_000)
    console.close()
    await vm.stop({ mode: 'kill' }).unwrap()
  }
  await boots('signed', signed, secure, signedWords)
  await boots('unsigned', unsigned, secure, /failed to load[^]*Access Denied/)
  await boots('not-secure', unsigned, { firmware: 'uefi' }, /GRUB|grub/)
}, 400_000)
