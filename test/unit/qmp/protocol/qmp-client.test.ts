import { once } from 'node:events'
import { PassThrough, Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { QmpClient } from '../../../../src/drivers/qmp/protocol/qmp-client.js'
import {
  QmpCommandError,
  QmpConnectionError,
  QmpTimeoutError,
} from '../../../../src/drivers/qmp/protocol/qmp-errors.js'
import { patience } from '../../../../src/testing/conformance/deadline.js'

const greeting = '{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":22},"package":""},"capabilities":["oob"]}}\r\n'

/** The other end of a QMP connection, controlled by the test. */
class FakeQemu {
  readonly #toClient = new PassThrough()
  readonly #toServer = new PassThrough()
  readonly stream = Duplex.from({ readable: this.#toClient, writable: this.#toServer })
  #received = ''

  say(text: string): void {
    this.#toClient.write(text)
  }

  hangUp(): void {
    this.#toClient.end()
    this.#toServer.resume()
    this.stream.destroy()
  }

  /** The next commands of the client, which QEMU tells apart without line ends. */
  async commands(count: number): Promise<Record<string, unknown>[]> {
    for (;;) {
      this.#received += String(this.#toServer.read() ?? '')
      const texts = this.#received.split(/(?<=\})(?=\{)/)
      if (texts.length >= count && this.#received !== '') {
        this.#received = texts.slice(count).join('')
        return texts.slice(0, count).map((text) => JSON.parse(text))
      }
      await once(this.#toServer, 'readable')
    }
  }
}

test('an error that another process caused before, on the same connection, is ignored once', async () => {
  const qemu = new FakeQemu()
  const opening = QmpClient.open(qemu.stream, { greetingTimeoutMs: patience.timeoutMs, hasForeignBytes: true })
  const error = '{"error":{"class":"GenericError","desc":"JSON parse error"}}\r\n'
  qemu.say(greeting + error)
  await qemu.commands(1)
  qemu.say('{"return":{},"id":1}\r\n')
  const answer = (await opening).execute('a')
  await qemu.commands(1)
  qemu.say(error)
  await expect(answer).rejects.toThrow('not a QMP message')
})

async function negotiated(withOutOfBand = false): Promise<{ qemu: FakeQemu; client: QmpClient }> {
  const qemu = new FakeQemu()
  const opening = QmpClient.open(qemu.stream, { greetingTimeoutMs: patience.timeoutMs, withOutOfBand })
  qemu.say(greeting)
  const [command] = await qemu.commands(1)
  expect(command).toEqual({
    execute: 'qmp_capabilities',
    id: 1,
    ...(withOutOfBand && { arguments: { enable: ['oob'] } }),
  })
  qemu.say('{"return":{},"id":1}\r\n')
  return { qemu, client: await opening }
}

test('the greeting is awaited and capabilities negotiated, out-of-band only if it is wanted', async () => {
  await negotiated(false)
  const { qemu, client } = await negotiated(true)
  const answer = client.execute('query-yank', undefined, { isOutOfBand: true })
  expect(await qemu.commands(1)).toEqual([{ 'exec-oob': 'query-yank', id: 1 }])
  qemu.say('{"return":[],"id":1}\r\n')
  expect(await answer).toEqual([])
})

test('commands are sent at once, and each gets its own answer, in any order', async () => {
  const { qemu, client } = await negotiated()
  const answers = ['a', 'b', 'c'].map((command) => client.execute(command, { of: command }))
  const sent = await qemu.commands(3)
  expect(sent.map(({ execute, arguments: args }) => [execute, args])).toEqual([
    ['a', { of: 'a' }],
    ['b', { of: 'b' }],
    ['c', { of: 'c' }],
  ])
  for (const { id, execute } of sent.toReversed()) qemu.say(`${JSON.stringify({ return: execute, id })}\r\n`)
  expect(await Promise.all(answers)).toEqual(['a', 'b', 'c'])
})

test('a refusal has the class and the text of QEMU', async () => {
  const { qemu, client } = await negotiated()
  const answer = client.execute('eject')
  qemu.say('{"error":{"class":"DeviceNotFound","desc":"Device not found"},"id":1}\r\n')
  const error = await answer.catch((refusal: unknown) => refusal)
  expect(error).toBeInstanceOf(QmpCommandError)
  expect(error).toMatchObject({ command: 'eject', errorClass: 'DeviceNotFound', message: 'Device not found' })
})

test('events reach every listener until it is removed', async () => {
  const { qemu, client } = await negotiated()
  const [first, second]: [string[], string[]] = [[], []]
  const forget = client.onEvent(({ name }) => first.push(name))
  client.onEvent(({ name }) => second.push(name))
  const say = async (name: string): Promise<void> => {
    qemu.say(`{"event":"${name}","timestamp":{"seconds":1,"microseconds":0}}\r\n`)
    const answer = client.execute('query-name')
    const [{ id } = {}] = await qemu.commands(1)
    qemu.say(`{"return":{},"id":${String(id)}}\r\n`)
    await answer
  }
  await say('STOP')
  forget()
  await say('RESUME')
  expect([first, second]).toEqual([['STOP'], ['STOP', 'RESUME']])
})

describe('errors', () => {
  test('a greeting that does not come', async () => {
    const qemu = new FakeQemu()
    await expect(QmpClient.open(qemu.stream, { greetingTimeoutMs: 10 })).rejects.toBeInstanceOf(QmpTimeoutError)
    expect(qemu.stream.destroyed).toBe(true)
  })

  test('a connection that ends before the greeting', async () => {
    const qemu = new FakeQemu()
    const opening = QmpClient.open(qemu.stream, { greetingTimeoutMs: patience.timeoutMs })
    qemu.hangUp()
    await expect(opening).rejects.toBeInstanceOf(QmpConnectionError)
  })

  test('an answer that comes after its time is ignored', async () => {
    const { qemu, client } = await negotiated()
    await expect(client.execute('slow', undefined, { timeoutMs: 10 })).rejects.toThrow('not answered slow within 10 ms')
    const next = client.execute('next')
    qemu.say('{"return":"late","id":1}\r\n{"return":"in time","id":2}\r\n')
    expect(await next).toBe('in time')
  })

  test('when the connection ends, every command fails, and later ones too', async () => {
    const { qemu, client } = await negotiated()
    const answers = [client.execute('a'), client.execute('b')]
    await qemu.commands(2)
    qemu.hangUp()
    for (const answer of answers) await expect(answer).rejects.toBeInstanceOf(QmpConnectionError)
    await expect(client.execute('c')).rejects.toBeInstanceOf(QmpConnectionError)
  })

  test.each([
    ['a line that is no message', 'hello\r\n'],
    ['an error without an id', '{"error":{"class":"GenericError","desc":"JSON parse error"}}\r\n'],
    ['an answer to what was not sent', '{"return":{},"id":"x"}\r\n'],
  ])('%s ends the connection', async (_what, line) => {
    const { qemu, client } = await negotiated()
    const answer = client.execute('a')
    await qemu.commands(1)
    qemu.say(line)
    await expect(answer).rejects.toThrow('not a QMP message')
    expect(qemu.stream.destroyed).toBe(true)
  })
})
