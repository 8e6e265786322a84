import { ConnectionError, ProtocolError } from 'awaitvm'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RpcConnection } from '../../../../src/drivers/libvirt/rpc/connection.js'
import type { EventFields } from '../../../../src/drivers/libvirt/rpc/event-messages.js'
import { RemoteError } from '../../../../src/drivers/libvirt/rpc/remote-error.js'
import { FakeLibvirt } from '../../../support/fake-libvirt.js'

const dom = { name: 'web-1', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 }

/** A connection whose fake other end is ended with the test. */
function connected(events = {}): { rpc: RpcConnection; peer: FakeLibvirt } {
  const peer = new FakeLibvirt()
  const rpc = new RpcConnection(peer.socket, events)
  open.push(rpc)
  return { rpc, peer }
}

let open: RpcConnection[]
beforeEach(() => {
  open = []
})
afterEach(() => {
  vi.useRealTimers()
  for (const rpc of open) rpc.destroy(new ConnectionError({ reason: 'the test is over' }))
})

test('answers find their calls in any order', async () => {
  const { rpc, peer } = connected()
  const names = ['a', 'b', 'c'].map((name) => rpc.call('domain_lookup_by_name', { name }))
  const frames = [await peer.next(), await peer.next(), await peer.next()]
  expect(frames.map(({ procedure }) => procedure)).toEqual([23, 23, 23])
  for (const [index, frame] of [...frames.entries()].reverse()) {
    peer.answer(frame, 'domain_lookup_by_name', { dom: { ...dom, name: 'abc'.charAt(index) } })
  }
  expect((await Promise.all(names)).map(({ dom: { name } }) => name)).toEqual(['a', 'b', 'c'])
})

test("a refusal has libvirt's code and words, and the connection goes on", async () => {
  const { rpc, peer } = connected()
  const call = rpc.call('domain_suspend', { dom })
  peer.refuse(await peer.next(), 55, 'domain is not running')
  await expect(call).rejects.toMatchObject({ code: 55, domain: 20, message: 'domain is not running' })
  await expect(call).rejects.toBeInstanceOf(RemoteError)
  const next = rpc.call('connect_get_hostname', {})
  peer.answer(await peer.next(), 'connect_get_hostname', { hostname: 'lab' })
  expect(await next).toEqual({ hostname: 'lab' })
})

test('a lost connection fails all calls that are under way, once, and later ones at once', async () => {
  const { rpc, peer } = connected()
  const calls = [rpc.call('connect_get_hostname', {}), rpc.call('domain_suspend', { dom })]
  await peer.next()
  peer.hangUp()
  for (const call of calls) await expect(call).rejects.toThrow('libvirt has closed the connection')
  expect(await rpc.lost).toBeInstanceOf(ConnectionError)
  await expect(rpc.call('connect_get_hostname', {})).rejects.toBeInstanceOf(ConnectionError)
})

test('an event goes to its handler, whatever its serial; others are left alone', async () => {
  const events: EventFields<'lifecycle'>[] = []
  const { rpc, peer } = connected({ lifecycle: (event: EventFields<'lifecycle'>) => events.push(event) })
  const call = rpc.call('connect_get_hostname', {})
  const frame = await peer.next()
  const payload = Buffer.concat([
    Buffer.from('00000000', 'hex'),
    Buffer.from(`00000005${Buffer.from('web-1').toString('hex')}000000`, 'hex'),
    Buffer.from(dom.uuid.replaceAll('-', ''), 'hex'),
    Buffer.from('ffffffff0000000500000001', 'hex'),
  ])
  peer.send({ procedure: 318, type: 2, serial: frame.serial }, payload)
  peer.send({ procedure: 9999, type: 2, serial: 1 }, payload)
  peer.answer(frame, 'connect_get_hostname', { hostname: 'lab' })
  await call
  expect(events).toEqual([{ callbackID: 0, dom: { ...dom, id: -1 }, event: 5, detail: 1 }])
})

test.each([
  ['an answer to a call that was not made', { type: 1, serial: 12_345 }],
  ['a frame of an unknown type', { type: 9 }],
  ['an unknown keepalive message', { type: 2, program: 0x6b65_6570, procedure: 7 }],
])('%s ends the connection with a ProtocolError', async (_what, header) => {
  const { rpc, peer } = connected()
  const call = rpc.call('connect_get_hostname', {})
  await peer.next()
  peer.send(header)
  await expect(call).rejects.toBeInstanceOf(ProtocolError)
})

test('an answer that is cut off fails its call, and no other', async () => {
  const { rpc, peer } = connected()
  const [wrong, right] = [rpc.call('connect_get_hostname', {}), rpc.call('connect_get_hostname', {})]
  peer.send({ serial: (await peer.next()).serial, procedure: 59 }, Buffer.from('0000ffff', 'hex'))
  peer.answer(await peer.next(), 'connect_get_hostname', { hostname: 'lab' })
  await expect(wrong).rejects.toBeInstanceOf(ProtocolError)
  expect(await right).toEqual({ hostname: 'lab' })
})

test('any bytes end the connection with an error of awaitvm, or are waited for', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { maxLength: 5 }), async (pieces) => {
      const { rpc, peer } = connected()
      const call = rpc.call('connect_get_hostname', {})
      await peer.next()
      for (const piece of pieces) peer.sendBytes(piece)
      peer.hangUp()
      await expect(call).rejects.toMatchObject({ code: expect.stringMatching(/PROTOCOL_ERROR|CONNECTION_FAILED/) })
    }),
    { numRuns: 200 },
  )
})

test('a ping is answered, and a silent daemon is asked, and given up in time', async () => {
  vi.useFakeTimers()
  const { rpc, peer } = connected()
  peer.send({ program: 0x6b65_6570, procedure: 1, type: 2 })
  expect(await peer.next()).toMatchObject({ program: 0x6b65_6570, procedure: 2, type: 2, serial: 0 })
  rpc.keepAlive()
  await vi.advanceTimersByTimeAsync(5000)
  expect(await peer.next()).toMatchObject({ program: 0x6b65_6570, procedure: 1 })
  peer.send({ program: 0x6b65_6570, procedure: 2, type: 2 })
  await vi.advanceTimersByTimeAsync(29_000)
  expect(rpc.isOpen).toBe(true)
  await vi.advanceTimersByTimeAsync(10_000)
  expect((await rpc.lost).reason).toContain('has not answered for')
})

test('a daemon that is at work on five calls may be silent for longer: it reads nothing then', async () => {
  vi.useFakeTimers()
  const { rpc } = connected()
  const calls = Promise.allSettled(Array.from({ length: 5 }, () => rpc.call('domain_suspend', { dom })))
  rpc.keepAlive()
  await vi.advanceTimersByTimeAsync(100_000)
  expect(rpc.isOpen).toBe(true)
  await vi.advanceTimersByTimeAsync(30_000)
  for (const outcome of await calls) expect(outcome).toMatchObject({ reason: expect.any(ConnectionError) })
})

test('a daemon that has a stream may be silent for longer: its data take the places of calls', async () => {
  vi.useFakeTimers()
  const { rpc, peer } = connected()
  const opening = rpc.open('domain_screenshot', { dom, screen: 0, flags: 0 })
  const call = await peer.next()
  peer.answer(call, 'domain_screenshot', { mime: undefined })
  const { stream } = await opening
  rpc.keepAlive()
  await vi.advanceTimersByTimeAsync(100_000)
  expect(rpc.isOpen).toBe(true)
  stream.destroy()
  await vi.advanceTimersByTimeAsync(5000)
  expect(rpc.isOpen).toBe(false)
})
