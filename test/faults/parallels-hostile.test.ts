import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type Server } from 'awaitvm'
import { expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

async function onHost(run: (double: PrlctlDouble, server: Server) => Promise<void>): Promise<void> {
  await using double = await PrlctlDouble.make()
  await using server = await connect(double.uri).unwrap()
  await run(double, server)
}

/** Names with a meaning for a shell, or for a parser of options or lines. */
const names = [
  'two  words',
  ' spaces around ',
  `it's "quoted"`,
  '$(touch awaitvm-pwned)',
  '`reboot`; true & | > x',
  '--help',
  '-i',
  '%s%n',
  '{00000000-0000-4000-8000-000000000001}',
]

test.each(names)('operations on a VM named %j reach that VM only', async (name) => {
  await onHost(async (double, server) => {
    const other = await server.createVm({ name: 'other' }).unwrap()
    const vm = await server.createVm({ name, description: name }).unwrap()
    await vm.start().unwrap()
    const snapshot = await vm.createSnapshot({ name, description: name }).unwrap()
    expect(await vm.getSnapshotTree().unwrap()).toMatchObject([{ name, description: name }])
    await vm.switchToSnapshot(snapshot.id).unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    const copy = await other.clone({ name: `${name}2` }).unwrap()
    expect(copy.name).toBe(`${name}2`)
    await copy.edit({ name: `-${name}`, description: `-${name}` }).unwrap()
    const known = (await double.truth()).map((of) => [of.name, of.description, of.state])
    expect(new Set(known)).toEqual(
      new Set([
        ['other', '', 'stopped'],
        [name, name, 'stopped'],
        [`-${name}`, `-${name}`, 'stopped'],
      ]),
    )
    await failureOf(server.createVm({ name }), 'ALREADY_EXISTS')
    await vm.delete().unwrap()
    await copy.delete().unwrap()
    expect(await server.getVmList().unwrap()).toEqual([other])
    expect(existsSync('awaitvm-pwned')).toBe(false)
  })
})

test.each(['line\nbreak', 'a\ttab', 'a\u0001control', 'back\\slash/es', '\u202eright to left', ' '])(
  'a VM that another client named %j is listed, and reached by its id',
  async (name) => {
    await onHost(async (double, server) => {
      await double.prlctlOutput('create', name)
      await double.prlctlOutput('create', 'other')
      const vm = (await server.getVmList().unwrap()).find((one) => one.name !== 'other')
      // Control characters are unescaped, and are dropped.
      expect(vm?.name).toBe(name.replace('\u0001', ''))
      await vm?.start().unwrap()
      await vm?.edit({ description: 'found' }).unwrap()
      const states = (await double.truth()).map((of) => [of.name, of.description, of.state])
      expect(new Set(states)).toEqual(
        new Set([
          [name, 'found', 'running'],
          ['other', '', 'stopped'],
        ]),
      )
    })
  },
)

test('a description with NUL is refused', async () => {
  await onHost(async (double, server) => {
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    expect((await failureOf(vm.edit({ description: 'a\0b' }), 'INVALID_ARGUMENT')).path).toBe('changes')
    expect((await failureOf(server.createVm({ name: 'new', description: 'a\0b' }), 'INVALID_ARGUMENT')).path).toBe(
      'spec',
    )
    expect((await double.truth()).map(({ name }) => name)).toEqual(['web-1'])
  })
})

test('10 MB of binary output are complete; a longer output is truncated, and the exit code is reported', async () => {
  await onHost(async (_double, server) => {
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    const input = Buffer.alloc(10 * 2 ** 20, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)))
    const out = await vm.guest.exec(['cat'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(Buffer.from(out.stdout), input)).toBe(0)
    const error = await vm.guest.exec(['sh', '-c', 'cat >&2; exit 9'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(Buffer.from(error.stderr), input)).toBe(0)
    expect([error.exitCode, error.isTruncated, error.stdout.length]).toEqual([9, false, 0])

    const more = await vm.guest.exec(['sh', '-c', 'head -c 20000000 /dev/zero >&2; exit 9']).unwrap()
    expect([more.exitCode, more.isTruncated, more.stderr.length]).toEqual([9, true, 16 * 2 ** 20])
  })
})

test('invalid UTF-8 and control characters hide no VM', async () => {
  await onHost(async (double, server) => {
    const vm = await server.createVm({ name: 'ünï' }).unwrap()
    await double.set({ rawInStrings: '\u00ff\u00c3\u0001\u001f\u0000\u007f' })
    expect(await server.getVmList().unwrap()).toEqual([vm])
    await vm.start().unwrap()
    const { exitCode, stderr } = await vm.guest
      .exec(['sh', '-c', `printf '\\377\\303' >&2`], { encoding: 'buffer' })
      .unwrap()
    expect([exitCode, ...stderr]).toEqual([0, 0xff, 0xc3])
  })
})

test('operations that need a POSIX shell are refused in a guest without one', async () => {
  await onHost(async (double, server) => {
    await double.prlctlOutput('create', 'windows', '-d', 'win-11')
    const vm = await server.getVm('windows').unwrap()
    await vm.start().unwrap()
    const calls = {
      'guest.exec': vm.guest.exec(['cmd', '/c', 'ver']),
      'guest.copyIn': vm.guest.copyIn(import.meta.filename, 'C:\\x'),
      'guest.copyOut': vm.guest.copyOut('C:\\x', join(double.folder, 'out')),
    }
    for (const [capability, job] of Object.entries(calls)) {
      const error = await failureOf(job, 'NOT_SUPPORTED')
      expect([error.capability, error.hint]).toEqual([capability, expect.stringContaining('remote administration')])
    }
    expect(existsSync(join(double.folder, 'out'))).toBe(false)
    await vm.guest.getNetworkAddresses().unwrap()

    // A Windows guest whose VM has another type is recognized by the error of its shell.
    const other = await server.createVm({ name: 'other' }).unwrap()
    await other.start().unwrap()
    const text = `'sh' is not recognized as an internal or external command,\noperable program or batch file.`
    await double.set({ failures: { exec: { text, times: 1 } } })
    await failureOf(other.guest.exec(['ver']), 'NOT_SUPPORTED')
  })
})
