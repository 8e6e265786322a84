import { once } from 'node:events'
import { Duplex, PassThrough } from 'node:stream'
import { InvalidStateError, ResourceBusyError, type ConsoleStream, type VmError } from 'awaitvm'
import { expect, test } from 'vitest'
import type { FakeDriver } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'
import { uncaughtIn } from '../support/uncaught.js'

/** The host's side of a console: `output` is what the guest prints, `typed` what it was sent. */
class Host extends Duplex {
  readonly typed: string[] = []
  readonly acknowledge: (() => void)[] = []
  readCalls = 0

  override _read(): void {
    this.readCalls += 1
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.typed.push(chunk.toString())
    this.acknowledge.push(done)
  }
}

async function opened(): Promise<{ console: ConsoleStream; host: Host; driver: FakeDriver }> {
  const { driver, vm } = await fakeServer()
  const console = vm.console()
  const host = new Host()
  driver.last.succeed(host)
  await new Promise(setImmediate)
  return { console, host, driver }
}

const failure = async (stream: Duplex): Promise<VmError> => {
  const [error] = (await once(stream, 'error')) as [VmError]
  return error
}

test('data goes through in both directions, and what was written before waits until it is open', async () => {
  const { driver, vm } = await fakeServer()
  const console = vm.console()
  console.write('early\n')
  const guest = new PassThrough()
  driver.last.succeed(guest)
  const [echo] = (await once(console, 'data')) as [Buffer]
  expect(echo.toString()).toBe('early\n')
  console.end('late')
  const rest: string[] = []
  for await (const chunk of console) rest.push(String(chunk))
  expect(rest).toEqual(['late'])
  expect(guest.writableFinished).toBe(true)
})

test('a reader that is slow holds the host back', async () => {
  const { console, host } = await opened()
  const chunk = Buffer.alloc(16_384)
  let pushed = 0
  while (host.push(chunk) || !host.isPaused()) {
    pushed += 1
    await new Promise(setImmediate)
    expect(pushed).toBeLessThan(100)
  }
  expect(host.isPaused()).toBe(true)
  console.resume()
  host.push(null)
  await once(console, 'end')
  expect(console.readableEnded).toBe(true)
})

test('a host that is slow holds the writer back', async () => {
  const { console, host } = await opened()
  let written = 0
  console.write('a', () => (written += 1))
  console.write('b', () => (written += 1))
  await new Promise(setImmediate)
  expect([host.typed, written]).toEqual([['a'], 0])
  host.acknowledge.shift()?.()
  await new Promise(setImmediate)
  expect([host.typed, written]).toEqual([['a', 'b'], 1])
})

test('one that can not be opened is destroyed with the typed error', async () => {
  const { driver, vm } = await fakeServer()
  const console = vm.console()
  console.write('lost')
  driver.last.fail(new InvalidStateError({ reason: 'it is stopped', state: 'stopped', expected: ['running'] }))
  const error = await failure(console)
  expect(error).toMatchObject({
    code: 'INVALID_STATE',
    message: 'Cannot open the console of VM "web-1": it is stopped.',
  })
  expect(console.destroyed).toBe(true)
})

test('an error of the host destroys it with a typed error', async () => {
  const { console, host } = await opened()
  const error = failure(console)
  host.destroy(new Error('ECONNRESET'))
  expect(await error).toMatchObject({
    code: 'HOST_ERROR',
    message: 'Cannot open the console of VM "web-1": ECONNRESET.',
    native: { message: 'ECONNRESET' },
  })
})

test('a typed error of the host is passed on', async () => {
  const { console, host } = await opened()
  const error = new ResourceBusyError({ reason: 'another client took it' })
  const failed = failure(console)
  host.destroy(error)
  expect(await failed).toBe(error)
})

test('a host that goes away without an end or an error is an error', async () => {
  const { console, host } = await opened()
  const error = failure(console)
  host.destroy()
  expect(await error).toMatchObject({ code: 'HOST_ERROR', reason: 'the console was closed by its host' })
})

test('writing to a host that has gone is a typed error', async () => {
  const { console, host } = await opened()
  host.on('close', () => undefined)
  const error = failure(console)
  host.destroy()
  console.write('too late')
  expect((await error).code).toBe('HOST_ERROR')
})

test('the end of the host is the end', async () => {
  const { console, host } = await opened()
  host.push('bye')
  host.push(null)
  const chunks: string[] = []
  for await (const chunk of console) chunks.push(String(chunk))
  expect(chunks).toEqual(['bye'])
  expect(host.destroyed).toBe(true)
})

test('destroying it destroys the host, also one that is opened only afterwards', async () => {
  const { console, host } = await opened()
  console.destroy()
  await once(host, 'close')

  const { driver, vm } = await fakeServer()
  const early = vm.console()
  early.destroy()
  const late = new Host()
  driver.last.succeed(late)
  await once(late, 'close')
  expect(late.destroyed).toBe(true)
})

test('destroying it before it fails to open raises nothing', async () => {
  const errors = await uncaughtIn(async () => {
    const { driver, vm } = await fakeServer()
    vm.console().destroy()
    driver.last.fail(new Error('no'))
  })
  expect(errors).toEqual([])
})
