import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Vm } from 'awaitvm'
import { createSimulatedServer, type SimulatedServer, type SimulatedServerOptions } from 'awaitvm/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConsoleReader } from '../../../src/testing/conformance/console-reader.js'
import { EventLog } from '../../../src/testing/conformance/event-log.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { expectPauseForRoom } from '../../support/full-disk.js'

async function runningVm(options: SimulatedServerOptions = {}): Promise<{ simulated: SimulatedServer; vm: Vm }> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state: 'running' }, { name: 'web-2' }], ...options })
  const vm = await simulated.server.getVm('web-1').unwrap()
  return { simulated, vm }
}

describe('programs', () => {
  test('are not found unless a test has a handler for them', async () => {
    const { vm } = await runningVm()
    const result = await vm.guest.exec(['nginx', '-t']).unwrap()
    expect(result).toMatchObject({ exitCode: 127, isTruncated: false })
    expect(result.stdout).toHaveLength(0)
    expect(result.stderr).toBe('nginx: not found\n')
  })

  test('are run by the handler of the VM, or of the host', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(({ argv, vm: name }) => (argv[0] === 'hostname' ? { stdout: `${name}\n` } : undefined))
    expect((await vm.guest.exec(['hostname']).unwrap()).stdout).toBe('web-1\n')
    expect((await vm.guest.exec(['false']).unwrap()).exitCode).toBe(127)

    const handle = simulated.vm('web-1')
    handle.onExec(async ({ argv, options, stdin }) => ({
      exitCode: 3,
      stdout: Uint8Array.of(0, 255),
      stderr: JSON.stringify([argv, { ...options, input: await text(stdin) }]),
    }))
    const options = { input: 'typed', env: { LANG: 'C' }, cwd: '/tmp' }
    const result = await vm.guest.exec(['cat', 'a b', ''], { ...options, encoding: 'buffer' }).unwrap()
    expect([result.exitCode, ...result.stdout]).toEqual([3, 0, 255])
    expect(JSON.parse(Buffer.from(result.stderr).toString())).toEqual([['cat', 'a b', ''], options])

    handle.onExec(undefined)
    expect((await vm.guest.exec(['hostname']).unwrap()).exitCode).toBe(0)
  })

  test('may be ended by a signal', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(() => ({ signal: 'SIGKILL', isTruncated: true }))
    expect(await vm.guest.exec(['sleep']).unwrap()).toMatchObject({
      exitCode: undefined,
      signal: 'SIGKILL',
      isTruncated: true,
    })
  })

  test('that throw are an error of the host', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(() => {
      throw new TypeError('a mistake of the test')
    })
    const error = await failureOf(vm.guest.exec(['x']), 'HOST_ERROR')
    expect(error.message).toContain('a mistake of the test')
  })

  test('take time by the clock, and are stopped by a cancel, a crash and a shutdown', async () => {
    const { simulated, vm } = await runningVm()
    const stopped: string[] = []
    simulated.onExec(async ({ argv: [name = ''], sleep, signal }) => {
      signal.addEventListener('abort', () => stopped.push(name))
      await sleep(1000)
      return { stdout: name }
    })
    const whole = vm.guest.exec(['whole'])
    await simulated.clock.advance(1000)
    await whole.unwrap()

    const cancelled = vm.guest.exec(['cancelled'])
    await simulated.clock.advance(500)
    await cancelled.cancel().unwrap()
    await failureOf(cancelled, 'JOB_CANCELLED')

    const down = vm.guest.exec(['down'])
    await simulated.clock.advance(500)
    await vm.stop().unwrap()
    expect((await failureOf(down, 'OUTCOME_UNKNOWN')).reason).toContain('stopped')

    await vm.start().unwrap()
    const crashed = vm.guest.exec(['crashed'])
    await simulated.clock.advance(500)
    simulated.vm('web-1').crash()
    expect((await failureOf(crashed, 'OUTCOME_UNKNOWN')).reason).toContain('crashed')

    await vm.start().unwrap()
    const reset = vm.guest.exec(['reset'])
    await simulated.clock.advance(500)
    await vm.reset().unwrap()
    expect((await failureOf(reset, 'OUTCOME_UNKNOWN')).reason).toContain('resetting')
    expect(stopped).toEqual(['cancelled', 'down', 'crashed', 'reset'])
    expect(await simulated.clock.next()).toBe(false)
  })

  test('need a VM that runs', async () => {
    const { simulated } = await runningVm()
    const vm = await simulated.server.getVm('web-2').unwrap()
    await failureOf(vm.guest.exec(['true']), 'INVALID_STATE')
    await failureOf(vm.guest.getNetworkAddresses(), 'INVALID_STATE')
  })
})

test('every guest has addresses of its own, always the same', async () => {
  const addresses = async (): Promise<unknown[]> => {
    const { server } = createSimulatedServer({
      vms: [
        { name: 'a', state: 'running' },
        { name: 'b', state: 'running' },
      ],
    })
    const vms = await server.getVmList().unwrap()
    return await Promise.all(vms.map((vm) => vm.guest.getNetworkAddresses().unwrap()))
  }
  const [first, second] = await addresses()
  expect(first).toEqual([
    { interfaceName: 'eth0', macAddress: '52:54:00:00:00:01', address: '10.0.0.1', family: 'ipv4' },
    { interfaceName: 'eth0', macAddress: '52:54:00:00:00:01', address: 'fd00::1', family: 'ipv6' },
  ])
  expect(second).not.toEqual(first)
  expect(await addresses()).toEqual([first, second])
})

describe('files', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'awaitvm-files-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true })
  })

  test('are copied into the guest and out of it, byte by byte', async () => {
    const { simulated, vm } = await runningVm()
    const content = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251)
    await writeFile(join(folder, 'in'), content)
    await writeFile(join(folder, 'empty'), '')
    await vm.guest.copyIn(join(folder, 'in'), '/srv/data').unwrap()
    await vm.guest.copyIn(join(folder, 'empty'), '/srv/empty').unwrap()
    expect(simulated.vm('web-1').readFile('/srv/data')).toEqual(Buffer.from(content))
    await vm.guest.copyOut('/srv/data', join(folder, 'out')).unwrap()
    await vm.guest.copyOut('/srv/empty', join(folder, 'empty-out')).unwrap()
    expect(await readFile(join(folder, 'out'))).toEqual(Buffer.from(content))
    expect(await readFile(join(folder, 'empty-out'), 'utf8')).toBe('')
  })

  test('that a test has written are there, and stay over a stop; a snapshot takes them back', async () => {
    const { simulated, vm } = await runningVm()
    const handle = simulated.vm('web-1')
    handle.writeFile('/etc/motd', 'before')
    const { id } = await vm.createSnapshot({ name: 'now' }).unwrap()
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    handle.writeFile('/etc/motd', 'after')
    await vm.stop().unwrap()
    await vm.start().unwrap()
    await vm.guest.copyOut('/etc/motd', join(folder, 'motd')).unwrap()
    expect(await readFile(join(folder, 'motd'), 'utf8')).toBe('after')
    await vm.switchToSnapshot(id).unwrap()
    expect(Buffer.from(handle.readFile('/etc/motd')!).toString()).toBe('before')
    expect(Buffer.from(simulated.vm(copy.id).readFile('/etc/motd')!).toString()).toBe('before')
    handle.removeFile('/etc/motd')
    for (const path of ['/etc/motd', '/etc/none']) expect(handle.readFile(path)).toBeUndefined()
  })

  test('that are not there end with an error of that side, and nothing is left behind', async () => {
    const { simulated, vm } = await runningVm()
    const missing = join(folder, 'missing')
    expect((await failureOf(vm.guest.copyIn(missing, '/x'), 'INVALID_ARGUMENT')).path).toBe('from')
    const nowhere = join(missing, 'out')
    expect((await failureOf(vm.guest.copyOut('/etc/hostname', nowhere), 'INVALID_ARGUMENT')).path).toBe('to')
    expect((await failureOf(vm.guest.copyOut('/etc/hostname', folder), 'INVALID_ARGUMENT')).path).toBe('to')
    const none = await failureOf(vm.guest.copyOut('/x', missing), 'GUEST_FILE_ERROR')
    expect([none.errno, none.path]).toEqual(['ENOENT', '/x'])
    expect(await readdir(folder)).toEqual([])

    await writeFile(join(folder, 'in'), 'x')
    const copyIn = (to: string) => vm.guest.copyIn(join(folder, 'in'), to)
    expect((await failureOf(copyIn('/data/in'), 'GUEST_FILE_ERROR')).errno).toBe('ENOENT')
    simulated.vm('web-1').writeFile('/data/first', '')
    await copyIn('/data/in').unwrap()
    expect(await vm.guest.readdir('/data').unwrap()).toEqual(['first', 'in'])
  })

  test('have the owner that a copy is given, by number, and links and times of the guest by the clock', async () => {
    const { simulated, vm } = await runningVm()
    await writeFile(join(folder, 'in'), 'x')
    await vm.guest.copyIn(join(folder, 'in'), '/srv/in', { owner: '1000:50' }).unwrap()
    expect(await vm.guest.stat('/srv/in').unwrap()).toMatchObject({ uid: 1000, gid: 50, type: 'file', size: 1 })
    const named = vm.guest.copyIn(join(folder, 'in'), '/srv/in', { owner: 'ci' })
    expect((await failureOf(named, 'INVALID_ARGUMENT')).path).toBe('options.owner')
    await simulated.clock.advance(60_000)
    await vm.guest.writeFile('/srv/later', 'x').unwrap()
    expect((await vm.guest.stat('/srv/later').unwrap()).mtime).toEqual(new Date(simulated.clock.now))
    await vm.guest.mkdir('/srv/../srv/./deep', { mode: 0o700 }).unwrap()
    expect(await vm.guest.readdir('/srv').unwrap()).toEqual(['deep', 'in', 'later'])
    expect((await failureOf(vm.guest.readFile('/srv/in/'), 'GUEST_FILE_ERROR')).errno).toBe('ENOTDIR')
    expect((await failureOf(vm.guest.rm('/', { recursive: true }), 'GUEST_FILE_ERROR')).errno).toBe('EBUSY')
    expect((await failureOf(vm.guest.rename('/srv', '/srv/deep/srv'), 'GUEST_FILE_ERROR')).errno).toBe('EINVAL')
  })
})

describe('a guest', () => {
  test('is waited for until a port of it listens, and ends the wait with itself', async () => {
    const { simulated, vm } = await runningVm()
    await vm.guest.waitUntilReady().unwrap()
    const waiting = vm.guest.waitForPort(80)
    using listening = simulated.vm('web-1').listen(80)
    await waiting.unwrap()
    await vm.guest.waitForPort(80).unwrap()
    listening[Symbol.dispose]()
    const lost = vm.guest.waitForPort(80)
    await vm.stop({ mode: 'kill' }).unwrap()
    expect((await failureOf(lost, 'INVALID_STATE')).state).toBe('stopped')
  })

  test('tells of itself by the clock of the host', async () => {
    const { simulated, vm } = await runningVm()
    const info = { system: 'Linux', hostName: 'web-1', users: [], time: new Date(simulated.clock.now) }
    expect(await vm.guest.getInfo().unwrap()).toEqual(info)
    simulated.vm('web-1').writeFile('/etc/hostname', 'other\n')
    expect((await vm.guest.getInfo().unwrap()).hostName).toBe('other')
  })
})

describe('the console', () => {
  test('shows what a test makes the guest print, also from before it was opened', async () => {
    const { simulated, vm } = await runningVm()
    simulated.vm('web-1').print('login: ')
    const console = new ConsoleReader(vm.console())
    await console.until('awaitvm guest ready\r\nlogin: ')
    simulated.vm('web-1').print('root\r\n')
    await console.until('root\r\n')
    console.close()
  })

  test('tells a handler what is typed, instead of the built-in guest', async () => {
    const { simulated, vm } = await runningVm()
    const handle = simulated.vm('web-1')
    handle.onConsoleInput((text) => {
      handle.print(`you typed ${text.trim()}\r\n`)
    })
    const console = new ConsoleReader(vm.console())
    await console.ask('grüß dich', 'you typed gr')
    handle.onConsoleInput(undefined)
    await console.ask('help', 'help count off reboot halt fault deaf slow write XX read\r\n')
    console.close()
  })

  test('knows the commands of the built-in guest, and says so of others', async () => {
    const { simulated, vm } = await runningVm()
    const console = new ConsoleReader(vm.console())
    await console.ask('make coffee', 'make coffee\r\n?\r\n')
    await console.ask('write zz', '?\r\n')
    await console.ask('write 10', 'no disk\r\n')
    await console.ask('x'.repeat(300), `${'x'.repeat(300)}\r\n?\r\n`)
    console.send('halt')
    expect(await console.untilClosed()).toBeUndefined()
    expect(simulated.vm('web-1').state).toBe('stopped')
  })

  test('of a paused VM takes what is typed when that goes on, and ends with it otherwise', async () => {
    const { vm } = await runningVm()
    const console = new ConsoleReader(vm.console())
    await console.until('ready\r\n')
    await vm.pause().unwrap()
    const written = new Promise((resolve) => console.stream.write('count\r', resolve))
    await vm.resume().unwrap()
    await console.until('lines 1\r\n')
    await written
    await vm.pause().unwrap()
    console.stream.write('count\r')
    await vm.stop({ mode: 'kill' }).unwrap()
    expect(await console.untilClosed()).toBeUndefined()
  })

  test('ends with the connection, and the VM runs on', async () => {
    const { simulated, vm } = await runningVm()
    const console = new ConsoleReader(vm.console())
    await console.until('ready')
    await simulated.server.close().unwrap()
    expect(await console.untilClosed()).toBeUndefined()
    simulated.vm('web-1').print('nobody reads this')
    expect(simulated.vm('web-1').state).toBe('running')
  })
})

test('a guest that crashes or powers off is reported', async () => {
  const { simulated, vm } = await runningVm()
  const log = new EventLog(simulated.server.events({ vmId: vm.id }))
  simulated.vm('web-1').crash('kernel panic')
  await vm.start().unwrap()
  simulated.vm('web-1').powerOff()
  await log.close()
  expect(log.events).toMatchObject([
    { state: 'crashed', previous: 'running', reason: 'crash', message: 'kernel panic' },
    { state: 'starting' },
    { state: 'running' },
    { state: 'stopped', previous: 'running', reason: 'guest' },
  ])
})

test('what only a running VM does ends with INVALID_STATE, and an unknown VM with VM_NOT_FOUND', async () => {
  const { simulated } = await runningVm()
  const handle = simulated.vm('web-2')
  for (const attempt of [() => handle.crash(), () => handle.powerOff(), () => handle.print('x')]) {
    expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_STATE', state: 'stopped' }))
  }
  expect(() => simulated.vm('web-3')).toThrow(expect.objectContaining({ code: 'VM_NOT_FOUND' }))
  await (await simulated.server.getVm('web-2').unwrap()).delete().unwrap()
  expect(() => handle.state).toThrow(expect.objectContaining({ code: 'VM_NOT_FOUND' }))
})

test('a VM whose host has a full disk is paused, says why, and goes on by a resume', async () => {
  const { simulated, vm } = await runningVm()
  const handle = simulated.vm('web-1')
  await expectPauseForRoom({
    server: simulated.server,
    vm,
    fill: async () => {
      handle.fillDisk()
    },
    makeRoom: async () => {
      for (const attempt of [() => vm.createSnapshot({ name: 'full' }), () => vm.clone({ name: 'copy' })]) {
        await failureOf(attempt(), 'INSUFFICIENT_RESOURCES')
      }
    },
  })
  handle.fillDisk()
  expect(() => handle.fillDisk()).toThrow(expect.objectContaining({ code: 'INVALID_STATE', state: 'paused' }))
  await vm.reset().unwrap()
  expect(vm.problem).toBeUndefined()
  handle.fillDisk()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.refresh().unwrap()
  expect(vm.problem).toBeUndefined()
})
