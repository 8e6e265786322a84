import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ResourceBusyError, type ConsoleStream, type VmState } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeServer } from '../support/fake-server.js'

interface Opened {
  readonly console: ConsoleStream
  /** The host's side: the guest prints by writing here. */
  readonly guest: PassThrough
}

async function opened({ state = 'stopped' }: { readonly state?: VmState } = {}): Promise<Opened> {
  const { driver, vm } = await fakeServer({ answers: { 'vm.getState': () => state } })
  const console = vm.console()
  const guest = new PassThrough()
  driver.last.succeed(guest)
  await turn()
  return { console, guest }
}

describe('waitFor', () => {
  test('finds what was printed before, and then what is printed', async () => {
    const { console, guest } = await opened()
    guest.write('Debian 12\r\nweb-1 ')
    await turn()
    const job = console.waitFor(/(\w+-\d) login: $/)
    expect(job).toMatchObject({ operation: 'console.waitFor', target: { name: 'web-1' }, status: 'running' })
    guest.write('log')
    guest.write('in: ')
    const match = await job.unwrap()
    expect([match[0], match[1], match.input.slice(0, match.index)]).toEqual(['web-1 login: ', 'web-1', 'Debian 12\r\n'])
  })

  test('takes a text as it is', async () => {
    const { console, guest } = await opened()
    guest.write('a+b [x]? (y) $ ^ . * { | \\')
    for (const text of ['+b [', ']? (y)', '$ ^ . * { |', '\\'])
      expect((await console.waitFor(text).unwrap())[0]).toBe(text)
  })

  test('moves the mark behind the match, so that the same text has to come again', async () => {
    const { console, guest } = await opened()
    guest.write('# one\r\n# two\r\n# ')
    for (const word of ['one', 'two']) expect((await console.waitFor(/# (\w+)/).unwrap())[1]).toBe(word)
    await console.waitFor('# ').unwrap()
    const again = console.waitFor('# ')
    await turn()
    expect(again.status).toBe('running')
    guest.write('# ')
    await again.unwrap()
  })

  test('ignores what was printed before the mark', async () => {
    const { console, guest } = await opened()
    guest.write('login: ')
    await console.waitFor('log').unwrap()
    console.mark()
    const job = console.waitFor('in: ')
    await turn()
    expect(job.status).toBe('running')
    guest.write('logged in: yes')
    expect((await job.unwrap()).input).toBe('logged in: yes')
  })

  test('is not moved by the state of a regular expression', async () => {
    const { console, guest } = await opened()
    const pattern = /x/g
    pattern.lastIndex = 3
    guest.write('xx')
    await console.waitFor(pattern).unwrap()
    await console.waitFor(pattern).unwrap()
    expect(pattern.lastIndex).toBe(3)
  })

  test('puts characters together that come in pieces', async () => {
    const { console, guest } = await opened()
    for (const byte of Buffer.from('größe ✓')) guest.write(Buffer.of(byte))
    expect((await console.waitFor('ß').unwrap()).index).toBe(3)
    await console.waitFor('✓').unwrap()
  })

  test('serves those who wait in the order of their calls, each with a text of its own', async () => {
    const { console, guest } = await opened()
    const first = console.waitFor(/\d/)
    const second = console.waitFor(/\d/)
    guest.write('12')
    expect([(await first.unwrap())[0], (await second.unwrap())[0]]).toEqual(['1', '2'])
  })

  test('takes nothing from a reader, and needs none', async () => {
    const { console, guest } = await opened()
    const read: string[] = []
    console.on('data', (chunk: Buffer) => read.push(chunk.toString()))
    const reading = once(console, 'data')
    guest.write('hello')
    await console.waitFor('hello').unwrap()
    await reading
    expect(read.join('')).toBe('hello')

    const unread = await opened()
    const job = unread.console.waitFor('the end')
    for (let times = 0; times < 100; times += 1) unread.guest.write('x'.repeat(16_384))
    unread.guest.write('the end')
    await job.unwrap()
  })

  test('holds at most 262,144 characters', async () => {
    const { console, guest } = await opened()
    console.resume()
    guest.write('first')
    for (let times = 0; times < 64; times += 1) {
      guest.write('x'.repeat(16_384))
      await turn()
    }
    guest.write('last')
    const match = await console.waitFor(/^[^]*last/).unwrap()
    expect(match[0]).toHaveLength(262_144)
    expect(match[0].startsWith('xxx')).toBe(true)
  })

  test('waits for a console that is not open yet', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.console().waitFor('hello')
    const guest = new PassThrough()
    driver.last.succeed(guest)
    guest.write('hello')
    await job.unwrap()
  })

  test('can be cancelled, and has a time limit; the console goes on', async () => {
    const { console, guest } = await opened()
    const cancelled = console.waitFor('x')
    expect((await cancelled.cancel()).isOk()).toBe(true)
    expect(cancelled.retCode).toBe('JOB_CANCELLED')
    expect((await console.waitFor('x', { timeoutMs: 5 }))._unsafeUnwrapErr()).toMatchObject({
      code: 'TIMEOUT',
      message: 'Cannot wait for the console of VM "web-1": it took longer than 5 ms. The operation was cancelled.',
    })
    guest.write('x')
    await console.waitFor('x').unwrap()
  })
})

describe('a console that ends', () => {
  test('fails the wait with the state of the VM', async () => {
    const { console, guest } = await opened({ state: 'stopped' })
    const job = console.waitFor(/never/i)
    guest.end('bye')
    expect((await job)._unsafeUnwrapErr()).toMatchObject({
      code: 'INVALID_STATE',
      state: 'stopped',
      expected: ['running', 'paused'],
      reason: 'its console ended before /never/i was printed, and it is stopped',
    })
    expect((await console.waitFor('bye').unwrap())[0]).toBe('bye')
    expect((await console.waitFor('bye'))._unsafeUnwrapErr().code).toBe('INVALID_STATE')
  })

  test('succeeds with what the guest printed last', async () => {
    const { console, guest } = await opened()
    const job = console.waitFor('Power down')
    guest.end('reboot: Power down')
    await job.unwrap()
  })

  test('because it failed: with its error', async () => {
    const { console, guest } = await opened()
    console.on('error', () => undefined)
    const job = console.waitFor('x')
    guest.destroy(new ResourceBusyError({ reason: 'it was read too slowly' }))
    const error = (await job)._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'RESOURCE_BUSY', operation: 'console.waitFor' })
  })

  test('because it can not be opened: with that error', async () => {
    const { driver, vm } = await fakeServer()
    const console = vm.console()
    const failed = once(console, 'error')
    const job = console.waitFor('x')
    driver.last.fail(new ResourceBusyError({ reason: 'another has it' }))
    expect((await job)._unsafeUnwrapErr().code).toBe('RESOURCE_BUSY')
    await failed
  })

  test('because it was closed here: the wait is cancelled', async () => {
    const { console } = await opened({ state: 'running' })
    const job = console.waitFor('x')
    console.destroy()
    expect((await job)._unsafeUnwrapErr()).toMatchObject({
      code: 'JOB_CANCELLED',
      reason: 'its console ended before /x/ was printed: it was closed',
    })
  })
})

test.for([[''], [5], [undefined], [null], [['x']]])('a pattern that is %o is refused', async ([pattern]) => {
  const { console } = await opened()
  const { result } = console.waitFor(pattern as string)
  expect(result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'pattern' })
})

test('options that are wrong are refused', async () => {
  const { console } = await opened()
  expect(console.waitFor('x', { timeoutMs: -1 }).retCode).toBe('INVALID_ARGUMENT')
  expect(console.waitFor('x', { timeout: 1 } as object).retCode).toBe('INVALID_ARGUMENT')
})
