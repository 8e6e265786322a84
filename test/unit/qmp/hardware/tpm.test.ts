import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { ConsoleReader } from '../../../../src/testing/conformance/console-reader.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { debianWithAgent } from '../../../support/debian-with-agent.js'
import { bootToShell } from '../../../support/linux-shell.js'
import { missingQemu, missingTools, skipWithout } from '../../../support/optional-tool.js'
import { processesIn } from '../../../support/qemu-processes.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu ?? missingTools('swtpm'))
})

const state = 'tpm2-00.permall'
const pathOf = (host: QmpHost, vm: Vm): string => join(host.folderOf(vm), state)
const stateOf = (host: QmpHost, vm: Vm): string => readFileSync(pathOf(host, vm), 'latin1')
const filesOf = (host: QmpHost, vm: Vm): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.includes('tpm'))

test('each TPM has a state of its own from the creation on, which only this user can read', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true })
  const other = await host.createVm({ name: 'other', tpm: true })
  expect(vm.config.tpm).toBe(true)
  expect(statSync(pathOf(host, vm)).mode & 0o777).toBe(0o600)
  expect(stateOf(host, other)).not.toBe(stateOf(host, vm))
  const without = await host.createVm({ name: 'without', tpm: false })
  expect(without.config).not.toHaveProperty('tpm')
  expect(filesOf(host, without)).toEqual([])
})

test('a clone has a copy, a snapshot has it as it was, and only an edit to false deletes it', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true, disks: [{ sizeMiB: 1 }] })
  const first = stateOf(host, vm)
  const clone = await vm.clone({ name: 'clone' }).unwrap()
  const linked = await vm.clone({ name: 'linked', linked: true }).unwrap()
  expect([clone, linked].map((each) => [each.config.tpm, stateOf(host, each)])).toEqual([
    [true, first],
    [true, first],
  ])

  const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()
  await vm.edit({ cpus: 2 }).unwrap()
  expect(stateOf(host, vm)).toBe(first)
  expect(await vm.edit({ tpm: false }).unwrap()).not.toHaveProperty('tpm')
  expect(filesOf(host, vm).filter((name) => name === state)).toEqual([])
  await vm.edit({ tpm: true }).unwrap()
  const second = stateOf(host, vm)
  expect(second).not.toBe(first)
  await vm.switchToSnapshot(snapshot.id).unwrap()
  expect(stateOf(host, vm)).toBe(first)
  await vm.edit({ tpm: false }).unwrap()
  await vm.switchToSnapshot(snapshot.id).unwrap()
  expect([(await vm.refresh().unwrap()).tpm, stateOf(host, vm)]).toEqual([true, first])
  await vm.deleteSnapshot(snapshot.id).unwrap()
  expect(filesOf(host, vm)).toEqual([state])
})

test('it follows a VM that is registered elsewhere, and is checked there', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true })
  await host.boot(vm)
  await vm.createSnapshot({ name: 'one' }).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  const before = stateOf(host, vm)
  await vm.unregister().unwrap()
  const folder = join(host.directory, 'unregistered', vm.id)
  const again = await host.server.registerVm(folder).unwrap()
  expect([again.config.tpm, stateOf(host, again)]).toEqual([true, before])
  await again.unregister().unwrap()
  const copy = readdirSync(folder).find((name) => name.endsWith('.state'))
  for (const file of [copy!, state]) {
    const content = readFileSync(join(folder, file))
    rmSync(join(folder, file))
    const error = await failureOf(host.server.registerVm(folder), 'INVALID_ARGUMENT')
    expect(error.message).toContain(`${join(folder, file)} is not there`)
    writeFileSync(join(folder, file), content)
  }
})

test('if its state is lost or damaged, the start says so, and leaves nothing; without the TPM, the VM starts', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true })
  writeFileSync(pathOf(host, vm), 'damaged')
  const damaged = await failureOf(vm.start(), 'PROTOCOL_ERROR')
  expect(damaged.hint).toContain(state)
  expect(await processesIn(host.directory)).toEqual([])
  rmSync(pathOf(host, vm))
  const error = await failureOf(vm.start(), 'PROTOCOL_ERROR')
  expect(error.message).toContain(state)
  expect(error.hint).toContain('vm.edit({ tpm: false })')
  await vm.edit({ tpm: false }).unwrap()
  await host.boot(vm)
})

test('without swtpm, the call names its package, and nothing is made or changed', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true })
  const bare = await host.createVm({ name: 'bare' })
  const { PATH } = process.env
  try {
    process.env['PATH'] = host.folder
    const errors = [
      await failureOf(host.server.createVm({ name: 'another', tpm: true }), 'HOST_TOOL_NOT_FOUND'),
      await failureOf(bare.edit({ tpm: true }), 'HOST_TOOL_NOT_FOUND'),
      await failureOf(vm.start(), 'HOST_TOOL_NOT_FOUND'),
    ]
    for (const { hint } of errors) expect(hint).toContain('swtpm on Debian')
    expect((await host.server.getVmList().unwrap()).map(({ name, state: at }) => [name, at])).toEqual([
      ['web-1', 'stopped'],
      ['bare', 'stopped'],
    ])
    expect(filesOf(host, bare)).toEqual([])
  } finally {
    process.env['PATH'] = PATH
  }
})

test('swtpm ends with its QEMU, however that ends; if it dies before, the VM runs on and says what it lacks', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ tpm: true })
  await host.boot(vm)
  const [swtpm] = await processesIn(host.directory, /swtpm/)
  process.kill(await host.pidOf(vm), 'SIGKILL')
  await vm.waitForState('crashed').unwrap()
  await host.boot(vm)
  expect(await processesIn(host.directory, /swtpm/)).not.toContain(swtpm)
  await vm.refresh().unwrap()
  expect(vm.problem).toBeUndefined()
  for (const pid of await processesIn(host.directory, /swtpm/)) process.kill(pid, 'SIGKILL')
  await expect.poll(() => processesIn(host.directory, /swtpm/)).toEqual([])
  await vm.refresh().unwrap()
  expect([vm.state, vm.problem?.message]).toEqual(['running', expect.stringContaining('tpm has ended')])
  await vm.stop({ mode: 'kill' }).unwrap()
  await host.boot(vm)
  await vm.refresh().unwrap()
  expect(vm.problem).toBeUndefined()
  const busy = await failureOf(vm.edit({ tpm: false }), 'INVALID_STATE')
  expect(busy.message).toContain('TPM is only added or removed while it is stopped')
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await processesIn(host.directory)).toEqual([])
})

/** A Linux with a shell that gives commands to its TPM (Trusted Platform Module Library, part 3), in hexadecimal. */
class TpmGuest {
  readonly #shell: ConsoleReader

  constructor(shell: ConsoleReader) {
    this.#shell = shell
  }

  static of(vm: Vm): TpmGuest {
    return new TpmGuest(new ConsoleReader(vm.console()))
  }

  close(): void {
    this.#shell.close()
  }

  /** Defines a place for eight bytes in the TPM. */
  async define(): Promise<void> {
    await this.#send('8002', '0000012a', `40000001${session}0000000e${index}000b0204000400000008`)
  }

  async write(text: string): Promise<void> {
    await this.#send('8002', '00000137', `${index}${index}${session}0008${Buffer.from(text).toString('hex')}0000`)
  }

  async read(): Promise<string> {
    const answer = await this.#send('8002', '0000014e', `${index}${index}${session}00080000`)
    return Buffer.from(answer.slice(32, 48), 'hex').toString()
  }

  /** Extends PCR 16, which a reset of the machine clears. */
  async extend(): Promise<void> {
    await this.#send('8002', '00000182', `00000010${session}00000001000b${'11'.repeat(32)}`)
  }

  async pcr(): Promise<string> {
    const answer = await this.#send('8001', '0000017e', '00000001000b03000001')
    return answer.slice(-64)
  }

  /** Throws unless the TPM answers that it has done it. */
  async #send(tag: string, code: string, parameters: string): Promise<string> {
    const size = (10 + parameters.length / 2).toString(16).padStart(8, '0')
    const bytes = `${tag}${size}${code}${parameters}`.replaceAll(/../g, String.raw`\x$&`)
    // The console begins with what was printed before. The mark is typed in two parts, so that its echo is not taken for the answer.
    const mark = randomUUID()
    const answered = `echo be""gin ${mark} $(dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1) end`
    this.#shell.send(`exec 3<>/dev/tpm0; printf '${bytes}' >&3; ${answered}; exec 3>&-`)
    const [, answer = ''] = await this.#shell.until(new RegExp(`begin ${mark}([\\s0-9a-f]*)end`))
    const hex = answer.replaceAll(/\s/g, '')
    if (hex.slice(12, 20) !== '00000000') throw new Error(`the TPM answers ${hex} to ${code}`)
    return hex
  }
}

const index = '01500001'
/** An authorization by an empty password. */
const session = '00000009400000090000000000'

test('Linux finds what its TPM holds again after a suspension, a switch and a stop; so does a clone with memory', async (context) => {
  const linux = await debianWithAgent()
  skipWithout(context, linux.unavailable)
  if (linux.unavailable !== undefined) return
  const { kernel, initrd } = linux
  await using host = await QmpHost.open()
  const boot = { kernel, initrd, commandLine: 'console=ttyS0 quiet' }
  const vm = await host.createVm({ memoryMiB: 192, boot, tpm: true })
  const first = new TpmGuest(await bootToShell(vm))
  await first.define()
  await first.write('value-01')
  const cleared = await first.pcr()
  await first.extend()
  const extended = await first.pcr()
  expect(extended).not.toBe(cleared)
  await vm.suspend().unwrap()
  first.close()

  await vm.resume().unwrap()
  const resumed = TpmGuest.of(vm)
  expect([await resumed.read(), await resumed.pcr()]).toEqual(['value-01', extended])
  const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
  await resumed.write('value-02')
  await resumed.extend()
  const twice = await resumed.pcr()
  await using twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
  const copied = TpmGuest.of(twin)
  expect([await copied.read(), await copied.pcr()]).toEqual(['value-02', twice])
  await copied.write('value-03')
  expect(await resumed.read()).toBe('value-02')
  resumed.close()
  copied.close()
  await twin.delete({ force: true }).unwrap()

  await vm.switchToSnapshot(snapshot.id).unwrap()
  const back = TpmGuest.of(vm)
  expect([await back.read(), await back.pcr()]).toEqual(['value-01', extended])
  back.close()
  const ofSnapshot = await vm.clone({ name: 'of-snapshot', memory: true, snapshot }).unwrap()
  const again = TpmGuest.of(ofSnapshot)
  expect([await again.read(), await again.pcr()]).toEqual(['value-01', extended])
  again.close()
  await ofSnapshot.delete({ force: true }).unwrap()

  await vm.stop({ mode: 'kill' }).unwrap()
  const anew = new TpmGuest(await bootToShell(vm))
  expect([await anew.read(), await anew.pcr()]).toEqual(['value-01', cleared])
  anew.close()
  await vm.stop({ mode: 'kill' }).unwrap()
}, 300_000)
