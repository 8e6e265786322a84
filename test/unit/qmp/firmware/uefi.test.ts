import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, describe, expect, test } from 'vitest'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingFile, missingQemu, missingTools, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

const ovmf = '/usr/share/OVMF'
const code = `${ovmf}/OVMF_CODE_4M.fd`
const template = `${ovmf}/OVMF_VARS_4M.fd`

beforeEach((context) => {
  skipWithout(context, missingQemu ?? missingFile(code, 'ovmf'))
})

interface Kept {
  readonly hardware: {
    readonly flash?: { readonly code: string; readonly variables: { readonly file: string; readonly bases?: string[] } }
    readonly images: Record<string, unknown>
  }
}

const definitionOf = (host: QmpHost, vm: Vm): Kept =>
  JSON.parse(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8')) as Kept

const filesOf = (host: QmpHost, vm: Vm): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.endsWith('.qcow2'))

/** The content of the variables of a VM at rest. */
function variablesOf(host: QmpHost, vm: Vm): Buffer {
  const { file } = definitionOf(host, vm).hardware.flash!.variables
  const raw = join(host.folder, 'variables')
  // The header names a base by its name in the folder.
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, raw], { cwd: host.folderOf(vm) })
  const bytes = readFileSync(raw)
  rmSync(raw)
  return bytes
}

/** Writes a byte to the end of the variables of a VM at rest, which no firmware does. */
const mark = (host: QmpHost, vm: Vm, byte: number): void => {
  const { file } = definitionOf(host, vm).hardware.flash!.variables
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P ${byte} 540160 512`, file], { cwd: host.folderOf(vm) })
}
const markOf = (host: QmpHost, vm: Vm): number | undefined => variablesOf(host, vm).at(-1)

const uefi = { memoryMiB: 128, boot: { firmware: 'uefi' } } as const

describe('variables of UEFI', () => {
  beforeEach((context) => {
    skipWithout(context, missingTools('qemu-io'))
  })

  test('they begin as those of the template, and code and variables are written down with the VM', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    expect(vm.config.boot).toEqual(uefi.boot)
    expect(vm.config.disks).toEqual([])
    const { hardware } = definitionOf(host, vm)
    expect(hardware.flash).toMatchObject({ code })
    expect(Object.keys(hardware.images)).toEqual([code])
    expect(variablesOf(host, vm).equals(readFileSync(template))).toBe(true)
  })

  test('a clone gets a copy, and a linked clone shares what they were until then', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    mark(host, vm, 1)
    const clone = await vm.clone({ name: 'clone' }).unwrap()
    const linked = await vm.clone({ name: 'linked', linked: true }).unwrap()
    mark(host, vm, 2)
    mark(host, linked, 3)
    expect([vm, clone, linked].map((each) => markOf(host, each))).toEqual([2, 1, 3])
    await vm.delete().unwrap()
    expect([clone, linked].map((each) => markOf(host, each))).toEqual([1, 3])
    expect([await host.damage(clone), await host.damage(linked)]).toEqual([[], []])
  })

  test('snapshots have them, also if a linked clone was made since', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    mark(host, vm, 1)
    const first = await vm.createSnapshot({ name: 'first' }).unwrap()
    mark(host, vm, 2)
    const second = await vm.createSnapshot({ name: 'second' }).unwrap()
    await vm.clone({ name: 'linked', linked: true }).unwrap()
    mark(host, vm, 3)
    await vm.switchToSnapshot(first.id).unwrap()
    expect(markOf(host, vm)).toBe(1)
    await vm.switchToSnapshot(second.id).unwrap()
    expect(markOf(host, vm)).toBe(2)
    await vm.deleteSnapshot(first.id).unwrap()
    await vm.deleteSnapshot(second.id).unwrap()
    expect(markOf(host, vm)).toBe(2)
  })

  test('an edit to another firmware deletes them, one that leaves the firmware as it is does not', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    mark(host, vm, 1)
    await vm.edit({ cpus: 2, boot: { firmware: 'uefi', order: ['cdrom'] } }).unwrap()
    expect(markOf(host, vm)).toBe(1)
    await vm.edit({ boot: { firmware: 'bios' } }).unwrap()
    expect(filesOf(host, vm)).toEqual([])
    expect(definitionOf(host, vm).hardware.images).toEqual({})
    await vm.edit(uefi).unwrap()
    expect(variablesOf(host, vm).equals(readFileSync(template))).toBe(true)
  })

  test('they follow a VM that is registered elsewhere, and are checked there', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    mark(host, vm, 1)
    await vm.unregister().unwrap()
    const folder = join(host.directory, 'unregistered', vm.id)
    const again = await host.server.registerVm(folder).unwrap()
    expect(markOf(host, again)).toBe(1)
    const { file } = definitionOf(host, again).hardware.flash!.variables
    await again.unregister().unwrap()
    execFileSync('qemu-img', ['resize', '-q', '-f', 'qcow2', join(folder, file), '1M'])
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.message).toContain(`${file} is a disk of 1048576 bytes`)
  })

  test('if their file is lost, the start names it, and another firmware helps', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm(uefi)
    const { file } = definitionOf(host, vm).hardware.flash!.variables
    rmSync(join(host.folderOf(vm), file))
    const error = await failureOf(vm.start(), 'PROTOCOL_ERROR')
    expect(error.message).toContain(file)
    expect(error.hint).toContain("vm.edit({ boot: { firmware: 'bios' } })")
    await vm.edit({ boot: { firmware: 'bios' } }).unwrap()
    await vm.start().unwrap()
  })
})

test('a file that is the code of a UEFI goes to flash memory with the variables beside it, and a whole image does not', async () => {
  await using host = await QmpHost.open()
  const firmware = join(host.folder, 'OVMF_CODE.fd')
  copyFileSync(code, firmware)
  const error = await failureOf(host.server.createVm({ name: 'alone', boot: { firmware } }), 'INVALID_ARGUMENT')
  expect(error).toMatchObject({ path: 'spec.boot.firmware' })
  expect(error.hint).toContain('OVMF_VARS.fd')
  copyFileSync(template, join(host.folder, 'OVMF_VARS.fd'))
  const vm = await host.createVm({ boot: { firmware } })
  expect(definitionOf(host, vm).hardware.flash).toMatchObject({ code: firmware })
  writeFileSync(join(host.folder, 'OVMF_VARS.fd'), Buffer.alloc(4000))
  const wrongSize = await failureOf(host.server.createVm({ name: 'wrong', boot: { firmware } }), 'INVALID_ARGUMENT')
  expect(wrongSize.message).toContain('multiples of 4096 bytes')
  const whole = await host.createVm({ name: 'whole', boot: { firmware: '/usr/share/ovmf/OVMF.fd' } })
  expect(definitionOf(host, whole).hardware.flash).toBeUndefined()
})

/** The shell that OVMF has built in, on the serial console. */
class UefiShell {
  readonly #console: ConsoleReader

  constructor(vm: Vm) {
    this.#console = new ConsoleReader(vm.console())
  }

  async untilReady(): Promise<void> {
    await this.#console.until('startup.nsh')
    // It waits five seconds for a key.
    this.#console.send('')
    await this.#console.until('Shell>')
  }

  async setVariable(text: string): Promise<void> {
    const bytes = Buffer.from(text, 'utf16le').toString('hex')
    this.#console.send(`setvar Kept -guid ${vendor} -bs -nv =${bytes}`)
    await this.#console.until('Shell>')
  }

  /** The value of the variable, whose bytes the shell shows in hexadecimal. */
  async variable(): Promise<string> {
    // The console begins with what was printed before: what follows the mark is new.
    const mark = randomUUID()
    await this.#console.ask(`echo ${mark}`, new RegExp(`${mark}[^]*Shell>`))
    this.#console.send(`setvar Kept -guid ${vendor}`)
    const [, bytes = ''] = await this.#console.until(/ Bytes[^]*?((?:[0-9A-F]{2} ){6})/)
    await this.#console.until('Shell>')
    return Buffer.from(bytes.replaceAll(' ', ''), 'hex').toString('utf16le')
  }

  close(): void {
    this.#console.close()
  }
}

/** Some vendor's variables. */
const vendor = '8c8ce578-8a3d-4f1c-9935-896185c32dd3'

test('a guest that boots by UEFI finds its variables again after a stop, a suspension and a switch to a snapshot', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm(uefi)
  await vm.start().unwrap()
  const first = new UefiShell(vm)
  await first.untilReady()
  await first.setVariable('one')
  const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
  await first.setVariable('two')
  const clone = await vm.clone({ name: 'clone' }).unwrap()
  expect(variablesOf(host, clone).includes(Buffer.from('two', 'utf16le'))).toBe(true)
  await vm.suspend().unwrap()
  first.close()
  await vm.resume().unwrap()
  const resumed = new UefiShell(vm)
  expect(await resumed.variable()).toBe('two')
  resumed.close()

  await vm.switchToSnapshot(snapshot.id).unwrap()
  const back = new UefiShell(vm)
  expect(await back.variable()).toBe('one')
  await vm.stop({ mode: 'kill' }).unwrap()
  back.close()
  expect(variablesOf(host, clone).includes(Buffer.from('two', 'utf16le'))).toBe(true)

  await vm.start().unwrap()
  const again = new UefiShell(vm)
  await again.untilReady()
  expect(await again.variable()).toBe('one')
  again.close()
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await host.damage(vm)).toEqual([])
})

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')

/** Which of these values the variables of a VM at rest have. */
const valuesIn = (host: QmpHost, vm: Vm, values: readonly string[]): string[] => {
  const bytes = variablesOf(host, vm)
  return values.filter((value) => bytes.includes(utf16(value)))
}

test('a clone of a running VM that boots by UEFI has its variables as they were, and then each has its own', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm(uefi)
  await vm.start().unwrap()
  const shell = new UefiShell(vm)
  await shell.untilReady()
  await shell.setVariable('one')
  const clones = [
    await vm.clone({ name: 'full' }).unwrap(),
    await vm.clone({ name: 'linked', linked: true }).unwrap(),
    await vm.clone({ name: 'second', linked: true }).unwrap(),
  ]
  await shell.setVariable('two')
  for (const [index, clone] of clones.entries()) {
    await clone.start().unwrap()
    const own = new UefiShell(clone)
    await own.untilReady()
    expect(await own.variable(), clone.name).toBe('one')
    await own.setVariable(`c_${index}`)
    await clone.stop({ mode: 'kill' }).unwrap()
    own.close()
  }
  expect(await shell.variable()).toBe('two')
  await vm.stop({ mode: 'kill' }).unwrap()
  shell.close()
  for (const [index, clone] of clones.entries()) {
    expect(valuesIn(host, clone, ['two', 'c_0', 'c_1', 'c_2'])).toEqual([`c_${index}`])
  }
  expect(valuesIn(host, vm, ['two', 'c_0', 'c_1', 'c_2'])).toEqual(['two'])
  await vm.delete().unwrap()
  for (const clone of clones) expect(await host.damage(clone)).toEqual([])
})

test('a clone with memory goes on with the variables of that moment, and then each has its own, also after a restart', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm(uefi)
  await vm.start().unwrap()
  const shell = new UefiShell(vm)
  await shell.untilReady()
  await shell.setVariable('one')
  const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
  const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
  await shell.setVariable('two')
  const late = await vm.clone({ name: 'late', memory: true, snapshot: snapshot.id }).unwrap()
  const twins = [twin, late].map((each) => ({ each, own: new UefiShell(each) }))
  for (const { each, own } of twins) {
    expect(await own.variable(), each.name).toBe('one')
    await own.setVariable(`${each.name.slice(0, 2)}n`)
  }
  expect(await shell.variable()).toBe('two')
  for (const { each, own } of [{ each: vm, own: shell }, ...twins]) {
    await each.stop({ mode: 'kill' }).unwrap()
    own.close()
  }
  for (const [each, value] of [
    [vm, 'two'],
    [twin, 'twn'],
    [late, 'lan'],
  ] as const) {
    expect(valuesIn(host, each, ['two', 'twn', 'lan']), each.name).toEqual([value])
    await each.start().unwrap()
    const again = new UefiShell(each)
    await again.untilReady()
    expect(await again.variable(), each.name).toBe(value)
    again.close()
    await each.stop({ mode: 'kill' }).unwrap()
    expect(await host.damage(each)).toEqual([])
  }
})
