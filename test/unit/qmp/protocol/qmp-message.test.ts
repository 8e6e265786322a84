import { expect, test } from 'vitest'
import { formatQmpCommand, parseQmpMessage } from '../../../../src/drivers/qmp/protocol/qmp-message.js'

test('the greeting of QEMU 7.2', () => {
  const line =
    '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}'
  expect(parseQmpMessage(line)).toEqual({
    kind: 'greeting',
    version: { qemu: { major: 7, minor: 2, micro: 22 }, package: 'Debian 1:7.2' },
    capabilities: ['oob'],
  })
})

test('an event, with and without data', () => {
  const timestamp = '"timestamp": {"seconds": 1795546272, "microseconds": 814415}'
  expect(
    parseQmpMessage(`{${timestamp}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}`),
  ).toEqual({
    kind: 'event',
    event: {
      name: 'SHUTDOWN',
      data: { guest: false, reason: 'host-qmp-quit' },
      at: new Date(1_795_546_272_814.415),
    },
  })
  expect(parseQmpMessage(`{${timestamp}, "event": "RESUME"}`)).toMatchObject({ event: { name: 'RESUME', data: {} } })
})

test('answers', () => {
  expect(parseQmpMessage('{"return": {}, "id": 7}')).toEqual({ kind: 'reply', id: 7, value: {} })
  expect(parseQmpMessage('{"id": 8, "error": {"class": "GenericError", "desc": "no"}}')).toEqual({
    kind: 'failure',
    id: 8,
    class: 'GenericError',
    desc: 'no',
  })
  expect(parseQmpMessage('{"error": {"class": "GenericError", "desc": "JSON parse error"}}')).toMatchObject({
    id: undefined,
  })
})

test.each(['', 'hello', '[]', '7', 'null', '{}', '{"event": 7}', '{"error": "no"}', '{"QMP": {}}', '{"return": '])(
  '%j is no message',
  (line) => {
    expect(() => parseQmpMessage(line)).toThrow()
  },
)

test('a command is sent as short as possible', () => {
  expect(formatQmpCommand(1, 'stop', undefined, false)).toBe('{"execute":"stop","id":1}')
  expect(formatQmpCommand(2, 'query-yank', undefined, true)).toBe('{"exec-oob":"query-yank","id":2}')
  expect(formatQmpCommand(3, 'eject', { id: 'cd"0' }, false)).toBe(
    '{"execute":"eject","arguments":{"id":"cd\\"0"},"id":3}',
  )
})
