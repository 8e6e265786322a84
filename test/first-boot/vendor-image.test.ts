import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm, VmSpec } from 'awaitvm'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { greetingPackage } from '../support/local-package.js'
import { missingFile, missingQemu, missingTools, skipWithout } from '../support/optional-tool.js'
import { useOwnImageCache } from '../support/own-image-cache.js'
import { QmpHost } from '../support/qmp-host.js'
import { vendorImage } from '../support/vendor-image.js'

const missing = missingQemu ?? missingFile('/usr/share/OVMF/OVMF_CODE_4M.fd', 'ovmf') ?? missingTools('dpkg-deb')
/** Far more than the image takes to be built, or a guest to boot by emulation, on a busy machine. */
const patienceMs = 1_200_000

let image: string
let unavailable: string | undefined
useOwnImageCache()
beforeAll(async () => {
  if (missing !== undefined) return
  const made = await vendorImage()
  if (made.unavailable === undefined) image = made.path
  else ({ unavailable } = made)
}, patienceMs)

beforeEach((context) => {
  skipWithout(context, missing ?? unavailable)
})

/** A VM of an image, as the README has it. */
const specOf = (disk: string): VmSpec => ({
  name: 'web-1',
  cpus: 2,
  memoryMiB: 1024,
  disks: [{ image: disk, sizeMiB: 4096 }],
  networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
  guest: { way: 'ssh', user: 'ci' },
  cloudInit: { users: [{ name: 'ci', sudo: true }] },
})

/** What a guest that does not come up has said last. */
async function untilReady(host: QmpHost, vm: Vm): Promise<void> {
  const outcome = await vm.guest.waitUntilReady({ timeoutMs: patienceMs - 60_000 })
  if (outcome.isOk()) return
  const console = readFileSync(join(host.folderOf(vm), 'console.log'), 'utf8')
  throw new Error(`${outcome.error.message}\n${console.slice(-3000)}`, { cause: outcome.error })
}

/** What a command of the guest's shell prints, by SSH with the key of the seed. */
async function said(vm: Vm, command: string): Promise<string> {
  return (await vm.guest.exec(['sh', '-c', command]).unwrap()).stdout.trim()
}

const firmwareOf = 'if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi'

test.each([
  ['uefi', { boot: { firmware: 'uefi' } }],
  ['bios', {}],
] as const)(
  'an image as vendors make it becomes a VM that is ready, with all that its first boot was to do: %s',
  async (firmware, boot) => {
    await using host = await QmpHost.open()
    const spec = { ...specOf(image), ...boot }
    const vendorData = { manage_etc_hosts: true }
    const cloudInit = { ...greetingPackage(), ...spec.cloudInit, hostname: 'ci-1.example.org', vendorData }
    const vm = await host.server.createVm({ ...spec, cloudInit }).unwrap()
    await vm.start().unwrap()
    await untilReady(host, vm)
    expect(await said(vm, firmwareOf)).toBe(firmware)
    expect(await said(vm, 'hostname; hostname --fqdn')).toBe('ci-1\nci-1.example.org')
    expect(await said(vm, 'id -un; sudo -n id -un')).toBe('ci\nroot')
    expect(await said(vm, 'awaitvm-greeting')).toBe('hello')
    const rootMiB = Number(await said(vm, 'df --output=size --block-size=1M / | tail -n 1'))
    expect(rootMiB).toBeGreaterThan(0.9 * 4096)
    expect(await said(vm, 'cloud-init status')).toBe('status: done')
    // The guest had the host key of its seed, so that nothing was trusted on first use.
    expect((await vm.refresh().unwrap()).guest).toEqual({ way: 'ssh', user: 'ci' })
    await vm.stop().unwrap()
    expect(vm.state).toBe('stopped')
  },
  patienceMs,
)

test.each([
  ['vmdk', 'subformat=streamOptimized'],
  ['vhdx', 'subformat=dynamic'],
])(
  'so does the same image as vendors ship it for other hosts: %s',
  async (format, options) => {
    await using host = await QmpHost.open()
    const converted = join(host.folder, `image.${format}`)
    execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', format, '-o', options, image, converted])
    const vm = await host.server.createVm(specOf(converted)).unwrap()
    await vm.start().unwrap()
    await untilReady(host, vm)
    expect(await said(vm, 'hostname; id -un')).toBe('web-1\nci')
    await vm.stop({ mode: 'kill' }).unwrap()
  },
  patienceMs,
)
