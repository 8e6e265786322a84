import { existsSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type NetworkAddress, type Vm } from 'awaitvm'
import { beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bootAgentGuest, untilBooted } from '../support/agent-guest.js'
import { Child } from '../support/child-process.js'
import { ConsoleReader } from '../../src/testing/conformance/console-reader.js'
import { within } from '../../src/testing/conformance/deadline.js'
import type { DebianLinux } from '../support/debian-build.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

let linux: DebianLinux
beforeAll(async () => {
  if (missingQemu === undefined) linux = await debianWithAgent()
}, 300_000)
beforeEach((context) => {
  skipWithout(context, missingQemu ?? linux.unavailable)
})

async function outputOf(vm: Vm, ...argv: readonly string[]): Promise<string> {
  const { stdout } = await vm.guest.exec(argv).unwrap()
  return Buffer.from(stdout).toString()
}

/** Waits until the guest has so many processes of the name. */
async function untilRunning(vm: Vm, name: string, count: number): Promise<void> {
  const look = async (): Promise<void> => {
    while ((await outputOf(vm, 'pidof', name)).split(/\s+/).filter(Boolean).length !== count);
  }
  await within(look(), () => `${String(count)} processes ${name}`)
}

const timeout = 180_000

test('a guest that panics has crashed, its programs are gone, and it can be started again', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm, console } = await bootAgentGuest(host)
  const log = new EventLog(host.server.events())
  const program = vm.guest.exec(['sleep', '600'])
  await untilRunning(vm, 'sleep', 1)
  console.send('echo c > /proc/sysrq-trigger')
  expect(await log.until(({ type }) => type === 'state')).toMatchObject({
    state: 'crashed',
    previous: 'running',
    reason: 'crash',
    message: 'the kernel of the guest panicked',
  })
  expect((await failureOf(program, 'OUTCOME_UNKNOWN')).reason).toContain('crashed')
  expect(await vm.getState().unwrap()).toBe('crashed')
  expect(await console.untilClosed()).toBeUndefined()
  expect(console.text).toContain('Kernel panic')
  await log.close()
  await vm.start().unwrap()
  const again = new ConsoleReader(vm.console())
  await untilBooted(vm, again)
  await vm.stop().unwrap()
  expect(await vm.getState().unwrap()).toBe('stopped')
})

test('a shutdown during which the guest panics says that the VM crashed', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm, console } = await bootAgentGuest(host)
  // Killed, what waits for the button would be followed by the shutdown.
  await console.ask('until kill -STOP $(pidof dd); do sleep 0.1; done; echo de""af', 'deaf')
  const shutdown = vm.stop()
  console.send('echo c > /proc/sysrq-trigger')
  expect((await failureOf(shutdown, 'INVALID_STATE')).state).toBe('crashed')
})

test('a program whose agent ends has an unknown outcome, and there is no agent then', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm, console } = await bootAgentGuest(host)
  const program = vm.guest.exec(['sleep', '600'])
  await untilRunning(vm, 'sleep', 1)
  console.send('kill $(pidof qemu-ga)')
  expect((await failureOf(program, 'OUTCOME_UNKNOWN')).hint).toBeTruthy()
  const error = await failureOf(vm.guest.exec(['true']), 'GUEST_UNAVAILABLE')
  expect(error.hint).toContain('qemu-guest-agent')

  console.send('reboot -f')
  await untilBooted(vm, console)
  const reboot = vm.guest.exec(['reboot', '-f'])
  await failureOf(reboot, 'OUTCOME_UNKNOWN')
  await untilBooted(vm, console)
  expect((await failureOf(vm.guest.exec(['poweroff', '-f']), 'OUTCOME_UNKNOWN')).reason).toMatch(/stopp(?:ed|ing)/)
})

test('an agent that hangs is waited for, but not forever', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm, console } = await bootAgentGuest(host)
  const program = vm.guest.exec(['sh', '-c', 'until [ -e /run/go ]; do sleep 0.1; done; echo gone'])
  await untilRunning(vm, 'sleep', 1)
  await console.ask('kill -STOP $(pidof qemu-ga); echo stop""ped', 'stopped')
  // An agent that has answered a moment ago is believed to be there still, and is sent programs.
  await failureOf(vm.guest.getNetworkAddresses(), 'GUEST_UNAVAILABLE')
  // When the first wait fails, all do.
  await Promise.all([
    failureOf(vm.guest.exec(['true']), 'GUEST_UNAVAILABLE'),
    failureOf(vm.guest.copyIn(host.kernel, '/root/x'), 'GUEST_UNAVAILABLE'),
  ])
  expect(await program.wait({ timeoutMs: 0 })).toMatchObject({ error: { code: 'WAIT_TIMEOUT' } })
  expect(program.status).toBe('unknown')
  await console.ask('touch /run/go; kill -CONT $(pidof qemu-ga); echo a""wake', 'awake')
  const { exitCode, stdout } = await program.unwrap()
  expect([exitCode, Buffer.from(stdout).toString()]).toEqual([0, 'gone\n'])
  expect(program.status).toBe('finished')
})

test(
  'programs of several processes run at once, and a process that is killed does not block the others',
  { timeout },
  async () => {
    await using host = await QmpHost.open()
    const { vm } = await bootAgentGuest(host)
    await using first = new Child('host-child.ts', [host.uri])
    await using second = new Child('host-child.ts', [host.uri])
    const long = vm.guest.exec(['sh', '-c', 'until [ -e /run/go ]; do sleep 0.1; done'])
    for (const child of [first, second]) child.send(`run ${vm.name}`)
    await first.printed(`did run ${vm.name}`)
    await second.printed(`did run ${vm.name}`)
    first.send(`run ${vm.name}`)
    await vm.guest.exec(['true']).unwrap()
    await first.kill()
    await vm.guest.exec(['touch', '/run/go']).unwrap()
    expect((await long.unwrap()).exitCode).toBe(0)

    // A program takes no place in line from operations on VMs.
    await using narrow = await connect(host.uri, { maxConcurrentOperations: 1 }).unwrap()
    const found = await narrow.getVm(vm.id).unwrap()
    const endless = found.guest.exec(['sleep', '600'])
    await untilRunning(vm, 'sleep', 1)
    await found.stop({ mode: 'kill' }).unwrap()
    expect((await failureOf(endless, 'OUTCOME_UNKNOWN')).reason).toMatch(/stopp(?:ed|ing)/)
  },
)

test('the addresses of a guest are those of its network', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm } = await bootAgentGuest(host, { networkAdapters: [{}] })
  const look = async (): Promise<NetworkAddress> => {
    for (;;) {
      const found = await vm.guest.getNetworkAddresses().unwrap()
      const address = found.find(({ family }) => family === 'ipv4')
      if (address !== undefined) return address
    }
  }
  const address = await within(look(), () => 'an address')
  const [adapter] = (await vm.refresh().unwrap()).networkAdapters ?? []
  expect(address).toEqual({
    interfaceName: 'eth0',
    address: expect.stringMatching(/^\d+\.\d+\.\d+\.\d+$/),
    family: 'ipv4',
    macAddress: adapter?.macAddress,
  })
})

test('a program that is cancelled is killed with all of its children', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm } = await bootAgentGuest(host)
  const script = 'trap "" TERM INT HUP; sleep 600 & (sleep 600; true) & sh -c "sleep 600; true" & wait'
  const program = vm.guest.exec(['sh', '-c', script])
  await untilRunning(vm, 'sleep', 3)
  await program.cancel().unwrap()
  await failureOf(program, 'JOB_CANCELLED')
  await untilRunning(vm, 'sleep', 0)

  // A process that has left its parent is killed, too.
  const daemon = vm.guest.exec(['sh', '-c', '(sleep 600 &); sleep 600'])
  await untilRunning(vm, 'sleep', 2)
  await daemon.cancel().unwrap()
  await failureOf(daemon, 'JOB_CANCELLED')
  await untilRunning(vm, 'sleep', 0)

  const other = vm.guest.exec(['sleep', '601'])
  await untilRunning(vm, 'sleep', 1)
  await host.server.close().unwrap()
  await failureOf(other, 'OUTCOME_UNKNOWN')
  await using server = await connect(host.uri).unwrap()
  const found = await server.getVm(vm.id).unwrap()
  expect(found.state).toBe('running')
  await untilRunning(found, 'sleep', 0)
})

test('a copy is whole or not there, on either side', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm } = await bootAgentGuest(host)
  const path = (name: string): string => join(host.folder, name)
  await writeFile(path('tool'), '#!/bin/sh\necho works\n', { mode: 0o750 })
  await vm.guest.copyIn(path('tool'), '/root/-tool').unwrap()
  expect(await outputOf(vm, 'stat', '-c', '%a %s', '/root/-tool')).toBe('750 21\n')
  expect(await outputOf(vm, '/root/-tool')).toBe('works\n')
  await vm.guest.copyOut('/root/-tool', path('back')).unwrap()
  expect((await stat(path('back'))).mode & 0o777).toBe(0o750)
  expect(await readFile(path('back'), 'utf8')).toBe('#!/bin/sh\necho works\n')
  await vm.guest.copyOut('/proc/version', path('version')).unwrap()
  expect(await readFile(path('version'), 'utf8')).toMatch(/^Linux version/)

  await writeFile(path('large'), Buffer.alloc(8_000_000, 'x'))
  const copyIn = vm.guest.copyIn(path('large'), '/root/large')
  for await (const { done = 0 } of copyIn) if (done > 0) break
  await copyIn.cancel().unwrap()
  await failureOf(copyIn, 'JOB_CANCELLED')
  expect(await outputOf(vm, 'ls', '-A', '/root')).toBe('-tool\n')

  await outputOf(vm, 'sh', '-c', 'mkdir /small; mount -t tmpfs -o size=1m none /small; echo old >/small/file')
  await failureOf(vm.guest.copyIn(path('large'), '/small/file'), 'INSUFFICIENT_RESOURCES')
  expect(await outputOf(vm, 'sh', '-c', 'ls -A /small; cat /small/file')).toBe('file\nold\n')

  await outputOf(vm, 'sh', '-c', 'head -c 8000000 /dev/zero >/root/large; mkfifo /root/pipe')
  const before = await readdir(host.folder)
  const copyOut = vm.guest.copyOut('/root/large', path('out'))
  for await (const { done = 0 } of copyOut) if (done > 0) break
  await copyOut.cancel().unwrap()
  await failureOf(copyOut, 'JOB_CANCELLED')
  for (const from of ['/root/pipe', '/dev/zero']) {
    expect((await failureOf(vm.guest.copyOut(from, path('out')), 'GUEST_FILE_ERROR')).errno).toBe('EINVAL')
  }
  for (const to of [join(host.folder, 'vms'), path('none/out')]) {
    expect(await failureOf(vm.guest.copyOut('/root/large', to), 'INVALID_ARGUMENT')).toMatchObject({ path: 'to' })
  }
  expect((await failureOf(vm.guest.copyIn(path('tool'), '/root'), 'GUEST_FILE_ERROR')).errno).toBe('EISDIR')
  expect(await readdir(host.folder)).toEqual(before)
  expect(existsSync(path('out'))).toBe(false)

  const last = vm.guest.copyIn(path('large'), '/root/last')
  for await (const { done = 0 } of last) if (done > 0) break
  await host.server.close().unwrap()
  await failureOf(last, 'OUTCOME_UNKNOWN')
  await using server = await connect(host.uri).unwrap()
  const found = await server.getVm(vm.id).unwrap()
  expect(await outputOf(found, 'ls', '-A', '/root')).toBe('-tool\nlarge\npipe\n')
})

test('the clock of a guest that was paused is set by its host', { timeout }, async () => {
  await using host = await QmpHost.open()
  const { vm } = await bootAgentGuest(host)
  const year = async (of = vm): Promise<string> => (await outputOf(of, 'date', '+%Y')).trim()
  // As in a guest that was paused for so long.
  const fallBehind = async (): Promise<void> => {
    await vm.guest.exec(['date', '-s', '2001-01-01 00:00']).unwrap()
    expect(await year()).toBe('2001')
  }
  const untilInTime = (of = vm): Promise<void> =>
    vi.waitFor(async () => expect(await year(of)).toBe(String(new Date().getUTCFullYear())), { timeout: 30_000 })

  await fallBehind()
  await vm.pause().unwrap()
  await vm.resume().unwrap()
  await untilInTime()

  // With this, the agent can do it itself.
  await vm.guest.exec(['sh', '-c', 'mkdir -p /sbin && ln -s /bin/busybox /sbin/hwclock']).unwrap()
  await fallBehind()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  await untilInTime()

  await fallBehind()
  const snapshot = await vm.createSnapshot({ name: 'late' }).unwrap()
  const clones = ['a', 'b'].map((name) => vm.clone({ name, memory: true, snapshot }).unwrap())
  for (const clone of await Promise.all(clones)) await untilInTime(clone)

  await fallBehind()
  const { id } = await vm.createSnapshot({ name: 'behind' }).unwrap()
  await untilInTime()
  await vm.switchToSnapshot(id).unwrap()
  await untilInTime()
})
