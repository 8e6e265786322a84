import { expect, test } from 'vitest'
import { AgentConnection } from '../../../src/guest-agent/agent-connection.js'
import { guestAddresses } from '../../../src/guest-agent/guest-addresses.js'
import { FakeAgent } from '../../support/fake-agent.js'

test('only valid addresses are returned', async () => {
  await using agent = await FakeAgent.listen()
  const connection = new AgentConnection(await agent.connect())
  const addresses = guestAddresses(connection)
  expect((await agent.next()).execute).toBe('guest-network-get-interfaces')
  const ip = (...words: readonly string[]) => words.map((word) => ({ 'ip-address': word, 'ip-address-type': 'ipv4' }))
  const interfaces = [
    { name: 'lo', 'hardware-address': '00:00:00:00:00:00', 'ip-addresses': ip('127.0.0.1', '::1') },
    { name: 'down' },
    { name: 'eth0', 'hardware-address': '52:54:00:AB:cd:01', 'ip-addresses': ip('10.0.2.15', 'fe80::1', 'fd00::5') },
    { name: 'odd\u001b[2J\n', 'hardware-address': '; rm -rf /', 'ip-addresses': ip('$(id)', '300.1.1.1', '192.0.2.7') },
  ]
  agent.say(`${JSON.stringify({ return: interfaces, id: 1 })}\n`)
  const eth0 = { interfaceName: 'eth0', macAddress: '52:54:00:ab:cd:01' }
  const lo = { interfaceName: 'lo', macAddress: '00:00:00:00:00:00' }
  expect(await addresses).toEqual([
    { ...lo, address: '127.0.0.1', family: 'ipv4' },
    { ...lo, address: '::1', family: 'ipv6' },
    { ...eth0, address: '10.0.2.15', family: 'ipv4' },
    { ...eth0, address: 'fe80::1', family: 'ipv6' },
    { ...eth0, address: 'fd00::5', family: 'ipv6' },
    { interfaceName: 'odd [2J', address: '192.0.2.7', family: 'ipv4' },
  ])
  await connection.close()
})
