import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { hostname, release, tmpdir } from 'node:os'
import { once } from 'node:events'
import { join } from 'node:path'
import { GuestUnavailableError, InvalidStateError } from 'awaitvm'
import { guestOperations, type DriverOperations, type GuestHost } from 'awaitvm/driver'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingTools, skipWithout } from '../../support/optional-tool.js'
import { guestShells, looseTask, LocalWay, type GuestShell, type LooseTask } from '../../support/local-guest.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-ready-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe.each(guestShells)('with %s', (shell) => {
  beforeEach((context) => {
    skipWithout(context, missingTools(shell))
  })

  const operations = (use?: GuestHost['use']): DriverOperations => guestOperations({ use: use ?? localUse(shell) })

  /** Waits until the task has reported the phase. */
  const phase = (task: LooseTask, wanted: string): Promise<void> =>
    expect.poll(() => task.reported.some((update) => update.phase === wanted)).toBe(true)

  const waiting = (task: LooseTask): Promise<void> => operations()['guest.waitUntilReady']!({ vm: 'local' }, task)

  test('a guest is ready that answers, and has nothing to do at its boot', async () => {
    const task = looseTask('guest.waitUntilReady')
    await waiting(task)
    expect(task.reported).toEqual([])
  })

  test.each(['guest.waitUntilReady', 'guest.waitForPort'] as const)(
    '%s waits for a guest that is not there yet, or whose state is unknown, and not for one that never will be',
    async (operation) => {
      const server = createServer()
      const port = await listen(server)
      const wait = (use: GuestHost['use'], task = looseTask(operation)): Promise<void> => {
        const run = operations(use)[operation] as (input: unknown, task: LooseTask) => Promise<void>
        return run({ vm: 'local', port }, task)
      }
      const final = new GuestUnavailableError({ reason: 'no agent', retryable: false })
      await expect(wait(() => Promise.reject(final))).rejects.toBe(final)
      for (const error of [
        new GuestUnavailableError({ reason: 'no agent', retryable: true }),
        new InvalidStateError({ state: 'unknown', expected: ['running'], reason: 'its host hangs' }),
      ]) {
        const task = looseTask(operation)
        let isThere = false
        const waited = wait(
          (vm, of, action) => (isThere ? localUse(shell)(vm, of, action) : Promise.reject(error)),
          task,
        )
        await phase(task, 'waiting for the guest')
        isThere = true
        await waited
      }
      server.close()
    },
  )

  test('cloud-init is waited for, and its errors are told', async () => {
    await mkdir(join(folder, 'cloud-init'))
    const task = looseTask('guest.waitUntilReady')
    const ready = waiting(task)
    await phase(task, 'waiting for the first boot')
    const result = join(folder, 'cloud-init/result.json')
    await writeFile(result, JSON.stringify({ v1: { datasource: 'none', errors: [] } }, null, 1))
    await ready
    await writeFile(result, JSON.stringify({ v1: { datasource: 'none', errors: ['no'] } }, null, 1))
    await expect(waiting(task)).rejects.toMatchObject({
      code: 'HOST_ERROR',
      reason: 'cloud-init has failed in its guest',
    })
    await writeFile(join(folder, 'cloud-init/disabled'), '')
    await waiting(task)
  })

  test('systemd is waited for, and its rescue mode is told', async () => {
    await mkdir(join(folder, 'systemd/system'), { recursive: true })
    const say = (state: string): Promise<void> =>
      writeFile(join(folder, 'systemctl'), `#!/bin/sh\necho ${state}\nexit 1\n`, { mode: 0o755 })
    await say('starting')
    const task = looseTask('guest.waitUntilReady')
    const ready = waiting(task)
    await phase(task, 'waiting for the first boot')
    await say('degraded')
    await ready
    await say('maintenance')
    await expect(waiting(task)).rejects.toMatchObject({ code: 'HOST_ERROR', native: { code: 'maintenance' } })
  })

  test('a port is waited for until a program listens there, at the address that is asked for', async () => {
    const server = createServer()
    const port = await listen(server)
    const wait = (host?: string, task = looseTask('guest.waitForPort')): Promise<void> =>
      operations()['guest.waitForPort']!({ vm: 'local', port, host }, task)
    for (const host of [undefined, '127.0.0.1', 'localhost']) await wait(host)
    const task = looseTask('guest.waitForPort')
    const other = wait('127.0.0.2', task)
    task.cancel(new Error('cancelled'))
    await expect(other).rejects.toThrow('cancelled')
    await expect(wait('no address')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'options.host' })
    server.close()
    await once(server, 'close')
    const later = wait()
    server.listen(port, '::')
    await later
    for (const host of ['127.0.0.1', '::1', 'fe80::1']) await wait(host)
    server.close()
  })

  test('a guest tells of itself', async () => {
    const info = await operations()['guest.getInfo']!({ vm: 'local' }, looseTask('guest.getInfo'))
    expect(info).toMatchObject({ system: 'Linux', kernel: release(), hostName: hostname() })
    expect(info.distribution).toMatch(/^[a-z]+$/)
    expect(Math.abs(info.time.getTime() - new Date().getTime())).toBeLessThan(60_000)
  })

  function localUse(of: GuestShell): GuestHost['use'] {
    return async (_vm, _task, action) => action(new LocalWay(of, { run: folder, tools: folder }))
  }
})

/** Its port, at 127.0.0.1. */
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

test('addresses are read from what iproute2 and busybox print', async () => {
  const printed = `1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 fec0::5054:ff:fe12:3456/64 scope site \\       valid_lft forever preferred_lft forever
3: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0
2: eth0    link/ether nonsense
mac lo 00:00:00:00:00:00
mac eth0 52:54:00:12:34:56
mac tun0
`
  const way = {
    vm: 'made',
    driver: 'made',
    run: async (_program: unknown, io: { output: (stream: 'stdout', bytes: Uint8Array) => unknown }) => {
      await io.output('stdout', Buffer.from(printed))
      return { exitCode: 0 }
    },
  }
  const operations = guestOperations({ use: async (_vm, _task, action) => action(way) })
  const addresses = await operations['guest.getNetworkAddresses']!(
    { vm: 'made' },
    looseTask('guest.getNetworkAddresses'),
  )
  expect(addresses).toEqual([
    { interfaceName: 'lo', address: '127.0.0.1', family: 'ipv4', macAddress: '00:00:00:00:00:00' },
    { interfaceName: 'eth0', address: '10.0.2.15', family: 'ipv4', macAddress: '52:54:00:12:34:56' },
    { interfaceName: 'eth0', address: 'fec0::5054:ff:fe12:3456', family: 'ipv6', macAddress: '52:54:00:12:34:56' },
    { interfaceName: 'tun0', address: '10.8.0.2', family: 'ipv4' },
  ])
})
