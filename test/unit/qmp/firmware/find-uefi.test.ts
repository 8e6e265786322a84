import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { findTemplate, findUefi } from '../../../../src/drivers/qmp/firmware/find-uefi.js'

const machine = 'pc-i440fx-7.2'
const packages = 'usr/share/qemu/firmware'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'awaitvm-uefi-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
  vi.unstubAllEnvs()
})

/** Writes a file below the root. Returns its path. */
function put(path: string, content = 'x'): string {
  const full = join(root, path)
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, content)
  return full
}

interface Described {
  readonly machines?: readonly string[]
  readonly features?: readonly string[]
  readonly architecture?: string
  readonly mapping?: object
}

/** Installs a UEFI with this name, and a descriptor of it. */
function describeUefi(folder: string, file: string, name: string, described: Described = {}) {
  const code = put(`ovmf/${name}_CODE.fd`)
  const template = put(`ovmf/${name}_VARS.fd`)
  const { machines = ['pc-i440fx-*', 'pc-q35-*'], features = ['acpi-s3'], architecture = 'x86_64' } = described
  const mapping = {
    device: 'flash',
    executable: { filename: code, format: 'raw' },
    'nvram-template': { filename: template, format: 'raw' },
    ...described.mapping,
  }
  const descriptor = { 'interface-types': ['uefi'], mapping, targets: [{ architecture, machines }], features, tags: [] }
  put(join(folder, file), JSON.stringify(descriptor))
  return { code, template }
}

test('descriptors are tried by the names of their files, and those that do not fit are passed over', async () => {
  describeUefi(packages, '10-secure.json', 'secure', { features: ['requires-smm', 'secure-boot'] })
  describeUefi(packages, '20-enrolled.json', 'enrolled', { features: ['enrolled-keys'] })
  describeUefi(packages, '30-q35.json', 'q35', { machines: ['pc-q35-*'] })
  describeUefi(packages, '31-dot.json', 'dot', { machines: ['pc-i440fx-7?2'] })
  describeUefi(packages, '40-arm.json', 'arm', { architecture: 'aarch64' })
  describeUefi(packages, '50-memory.json', 'memory', { mapping: { device: 'memory' } })
  describeUefi(packages, '51-stateless.json', 'stateless', { mapping: { mode: 'stateless' } })
  describeUefi(packages, '52-qcow2.json', 'qcow2', { mapping: { executable: { filename: '/x', format: 'qcow2' } } })
  const fitting = describeUefi(packages, '60-plain.json', 'plain')
  describeUefi(packages, '70-later.json', 'later')
  put(join(packages, '00-notes.txt'), 'no descriptor')
  expect(await findUefi(machine, root)).toEqual(fitting)
  expect(await findUefi('pc-q35-7.2', root)).toMatchObject({ code: join(root, 'ovmf/q35_CODE.fd') })
})

test('a descriptor whose files are gone is passed over', async () => {
  const gone = describeUefi(packages, '10-gone.json', 'gone')
  rmSync(gone.template)
  const there = describeUefi(packages, '20-there.json', 'there')
  expect(await findUefi(machine, root)).toEqual(there)
})

test("the administrator's descriptors replace those of packages, the user's replace both, and an empty one hides", async () => {
  vi.stubEnv('XDG_CONFIG_HOME', '/home/me/.config')
  describeUefi(packages, '10-a.json', 'package')
  const byAdministrator = describeUefi('etc/qemu/firmware', '10-a.json', 'administrator')
  expect(await findUefi(machine, root)).toEqual(byAdministrator)
  const byUser = describeUefi('home/me/.config/qemu/firmware', '10-a.json', 'user')
  expect(await findUefi(machine, root)).toEqual(byUser)
  put('home/me/.config/qemu/firmware/10-a.json', '')
  await expect(findUefi(machine, root)).rejects.toMatchObject({ code: 'FIRMWARE_NOT_FOUND' })
})

test('a damaged descriptor is reported, and hides no other', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const damaged = put(join(packages, '10-damaged.json'), '{')
  put(join(packages, '11-other.json'), '[]')
  const there = describeUefi(packages, '20-there.json', 'there')
  expect(await findUefi(machine, root)).toEqual(there)
  expect(warned.mock.calls).toMatchObject([[expect.stringContaining(damaged), 'AwaitvmWarning']])
  warned.mockRestore()
})

test.for([
  ['usr/share/OVMF', 'OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'],
  ['usr/share/OVMF', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['usr/share/edk2/ovmf', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['usr/share/edk2/x64', 'OVMF_CODE.4m.fd', 'OVMF_VARS.4m.fd'],
  ['opt/homebrew/share/qemu', 'edk2-x86_64-code.fd', 'edk2-i386-vars.fd'],
])('without descriptors, %s/%s is found with its variables, also by its path', async ([folder, code, template]) => {
  const files = { code: put(`${folder}/${code}`), template: put(`${folder}/${template}`) }
  expect(await findUefi(machine, root)).toEqual(files)
  expect(await findTemplate(files.code, root)).toBe(files.template)
})

test('a build of 4 MiB is preferred to one of 2 MiB', async () => {
  for (const name of ['OVMF_CODE.fd', 'OVMF_VARS.fd', 'OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'])
    put(`usr/share/OVMF/${name}`)
  expect(await findUefi(machine, root)).toMatchObject({ code: join(root, 'usr/share/OVMF/OVMF_CODE_4M.fd') })
})

test('if none is installed, the error names what was searched, and the packages', async () => {
  put('usr/share/OVMF/OVMF_CODE_4M.fd')
  const finding = findUefi(machine, root)
  await expect(finding).rejects.toMatchObject({
    code: 'FIRMWARE_NOT_FOUND',
    reason: expect.stringContaining(join(root, 'usr/share/OVMF')),
    hint: expect.stringContaining('apt install ovmf'),
  })
})

test('the variables of a named UEFI are those of its descriptor, else those beside it, else unknown', async () => {
  const secure = describeUefi(packages, '10-secure.json', 'secure', { features: ['secure-boot'] })
  expect(await findTemplate(secure.code, root)).toBe(secure.template)
  const code = put('own/OVMF_CODE_4M.secboot.fd')
  expect(await findTemplate(code, root)).toBeUndefined()
  const template = put('own/OVMF_VARS_4M.fd')
  expect(await findTemplate(code, root)).toBe(template)
  expect(await findTemplate(put('own/firmware.fd'), root)).toBeUndefined()
})

test('aarch64 has firmware of its own: by a descriptor of that architecture, else where packages have it', async () => {
  describeUefi(packages, '10-x86.json', 'x86', { machines: ['*'] })
  await expect(findUefi('virt-7.2', root)).rejects.toMatchObject({
    code: 'FIRMWARE_NOT_FOUND',
    hint: expect.stringContaining('apt install qemu-efi-aarch64'),
  })
  const installed = { code: put('usr/share/AAVMF/AAVMF_CODE.fd'), template: put('usr/share/AAVMF/AAVMF_VARS.fd') }
  expect(await findUefi('virt-7.2', root)).toEqual(installed)
  const described = describeUefi(packages, '40-arm.json', 'arm', { architecture: 'aarch64', machines: ['virt-*'] })
  expect(await findUefi('virt-7.2', root)).toEqual(described)
})

test('with secure boot, only one that has keys will do, by its descriptor or in the known places', async () => {
  describeUefi(packages, '10-plain.json', 'plain')
  describeUefi(packages, '20-keyless.json', 'keyless', { features: ['requires-smm', 'secure-boot'] })
  describeUefi(packages, '25-writable.json', 'writable', { features: ['secure-boot', 'enrolled-keys'] })
  await expect(findUefi('pc-q35-7.2', root, true)).rejects.toThrow('no UEFI with secure boot and keys for the machine')
  const there = { code: put('usr/share/OVMF/OVMF_CODE.ms.fd'), template: put('usr/share/OVMF/OVMF_VARS.ms.fd') }
  expect(await findUefi('pc-q35-7.2', root, true)).toEqual(there)
  const features = ['requires-smm', 'secure-boot', 'enrolled-keys']
  const enrolled = describeUefi(packages, '30-enrolled.json', 'enrolled', { machines: ['pc-q35-*'], features })
  expect(await findUefi('pc-q35-7.2', root, true)).toEqual(enrolled)
})
