import { once } from 'node:events'
import { expect, test } from 'vitest'
import { ProtocolError } from 'awaitvm'
import { AgentConnection } from '../../../src/guest-agent/agent-connection.js'
import {
  AgentCommandError,
  AgentConnectionError,
  AgentSilentError,
  AnswerLostError,
} from '../../../src/guest-agent/agent-errors.js'
import { patience } from '../../../src/testing/conformance/deadline.js'
import { FakeAgent } from '../../support/fake-agent.js'

const { timeoutMs } = patience

async function synchronized(agent: FakeAgent): Promise<AgentConnection> {
  const connection = new AgentConnection(await agent.connect())
  const ready = connection.synchronize(timeoutMs)
  await agent.synchronize()
  await ready
  return connection
}

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => expect.fail(`It succeeded with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )

test('a connection drops what was meant for earlier ones', async () => {
  await using agent = await FakeAgent.listen()
  const connection = new AgentConnection(await agent.connect())
  const ready = connection.synchronize(timeoutMs)
  const { execute, arguments: args, isDelimited } = await agent.next()
  expect([execute, isDelimited]).toEqual(['guest-sync-delimited', true])
  const id = String(args?.['id'])
  agent.say('{"return": {"pid": 1}, "id": 1}\n', 'garbage {{{ \0\x1b[2J\n', '}\n[]\n7\n')
  agent.say(`{"return": ${id}}\n`, Buffer.of(0xff), '{"return": 4711}\n', Buffer.of(0xff), 'no JSON\n')
  agent.say('half a line of another', Buffer.of(0xff), `{"return": ${id}}\n`)
  await ready
  const answer = connection.execute('guest-ping')
  expect(await agent.next()).toEqual({ execute: 'guest-ping', id: 1, isDelimited: false })
  agent.say('{"return": {}, "id": 1}\n')
  expect(await answer).toEqual({})
  await connection.close()
})

test('an answer may come in pieces, without an id, or after that of another client', async () => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const first = connection.execute('guest-info')
  agent.say('{"return": "stale", "id": 99}\n{"ret', 'urn": "x')
  agent.say('yz"}\r\n')
  expect(await first).toBe('xyz')
  await connection.close()
})

test('a refusal has the class and the text of the agent, without control characters', async () => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const answer = connection.execute('guest-file-open', { path: '/x' })
  expect((await agent.next()).arguments).toEqual({ path: '/x' })
  const desc = `no such \u001b[31mfile\n${'x'.repeat(10_000)}`
  agent.say(`${JSON.stringify({ id: 1, error: { class: 'GenericError', desc } })}\n`)
  const error = await errorOf(answer)
  expect(error).toBeInstanceOf(AgentCommandError)
  expect(error).toMatchObject({
    code: 'GenericError',
    message: expect.stringMatching(/^no such {2}\[31mfile x{400,490}$/),
  })
  await connection.close()
})

test('an agent that does not answer ends the connection at the deadline', async () => {
  await using agent = await FakeAgent.listen()
  const socket = await agent.connect()
  const connection = new AgentConnection(socket)
  const ready = connection.synchronize(20)
  await agent.next()
  agent.say('{"return": {}}\n')
  expect(await errorOf(ready)).toBeInstanceOf(AgentSilentError)
  expect(socket.destroyed).toBe(true)
  expect(await errorOf(connection.execute('guest-ping'))).toBeInstanceOf(AgentSilentError)
  await connection.close()

  const second = await synchronized(agent)
  expect(await errorOf(second.execute('guest-ping', undefined, 20))).toBeInstanceOf(AgentSilentError)
  await second.close()
})

test.each([
  ['before it has answered', ''],
  ['in the middle of an answer', '{"return": {"pid'],
])('a connection that ends %s takes the command along, and later ones too', async (_when, said) => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const answer = connection.execute('guest-exec')
  await agent.next()
  agent.say(said)
  agent.hangUp()
  expect(await errorOf(answer)).toBeInstanceOf(AnswerLostError)
  expect(await errorOf(connection.execute('guest-ping'))).toBeInstanceOf(AnswerLostError)
  await connection.close()
})

test('a synchronization takes no answer away from the commands before and after it', async () => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const lost = connection.execute('guest-ping')
  const before = connection.execute('guest-info')
  for (const _command of ['ping', 'info']) await agent.next()
  const ready = connection.synchronize(timeoutMs)
  const after = connection.execute('guest-get-time')
  const { arguments: args } = await agent.next()
  await agent.next()
  // The agent complains of the delimiter, which is no command.
  const complaint = JSON.stringify({ error: { class: 'GenericError', desc: 'Invalid JSON syntax' } })
  agent.say('{"return": "info", "id": 2}\n', `${complaint}\n`, Buffer.of(0xff), `{"return": ${String(args?.['id'])}}\n`)
  agent.say('{"return": 7, "id": 3}\n')
  await ready
  expect(await Promise.all([before, after])).toEqual(['info', 7])
  expect(await errorOf(lost)).toBeInstanceOf(AgentConnectionError)

  const third = connection.execute('guest-ping')
  const again = connection.synchronize(timeoutMs)
  await agent.next()
  const second = await agent.next()
  agent.say(Buffer.of(0xff), `{"return": ${String(second.arguments?.['id'])}}\n`)
  await again
  expect(await errorOf(third)).toBeInstanceOf(AgentConnectionError)
  expect(connection.isOpen).toBe(true)
  await connection.close()
})

test('an answer that never comes is noticed by one to a later question', async () => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const [first, second, third] = [1, 2, 3].map((handle) => connection.execute('guest-file-flush', { handle }))
  for (const _answer of [1, 2, 3]) await agent.next()
  agent.say('{"return": 1, "id": 1}\n', '{"return": 3, "id": 3}\n')
  expect(await errorOf(second!)).toBeInstanceOf(AgentConnectionError)
  expect(await Promise.all([first, third])).toEqual([1, 3])
  await connection.close()
})

test('an agent that was started again answers a probe, and nothing that the earlier one was asked', async () => {
  await using agent = await FakeAgent.listen()
  const connection = await synchronized(agent)
  const asked = connection.execute('guest-file-read')
  await agent.next()
  expect(connection.silentMs).toBeGreaterThanOrEqual(0)
  connection.probe()
  const { execute, id } = await agent.next()
  expect(execute).toBe('guest-ping')
  agent.say(`{"return": {}, "id": ${String(id)}}\n`)
  expect(await errorOf(asked)).toBeInstanceOf(AgentConnectionError)
  expect([connection.isOpen, connection.silentMs]).toEqual([true, 0])
  await connection.close()
})

test.each([
  ['no JSON', 'hello\n'],
  ['no object', '7\n'],
  ['neither a value nor a failure', '{"id": 1}\n'],
  ['a failure without words', '{"error": {"class": 7}}\n'],
])('%s for an answer ends the connection', async (_what, line) => {
  await using agent = await FakeAgent.listen()
  const socket = await agent.connect()
  const connection = new AgentConnection(socket)
  const ready = connection.synchronize(timeoutMs)
  await agent.synchronize()
  await ready
  const answer = connection.execute('guest-ping')
  await agent.next()
  agent.say(line)
  expect(await errorOf(answer)).toBeInstanceOf(ProtocolError)
  expect(socket.destroyed).toBe(true)
  await connection.close()
})

test.each(['before the answer to a synchronization', 'for an answer'])(
  'a line without end %s fills no memory',
  async (when) => {
    await using agent = await FakeAgent.listen()
    const socket = await agent.connect()
    const connection = new AgentConnection(socket)
    let answer: Promise<unknown> = connection.synchronize(60_000)
    if (when === 'for an answer') {
      await agent.synchronize()
      await answer
      answer = connection.execute('guest-info')
    }
    await agent.next()
    const failed = errorOf(answer)
    const piece = Buffer.alloc(2 ** 20, 'x')
    for (let sent = 0; sent < 49; sent += 1) agent.say(piece)
    expect(await failed).toBeInstanceOf(ProtocolError)
    if (!socket.closed) await once(socket, 'close')
    await connection.close()
  },
)
