import { once } from 'node:events'
import { ConnectionError, ProtocolError } from 'awaitvm'
import { expect, test } from 'vitest'
import { RpcConnection } from '../../../../src/drivers/libvirt/rpc/connection.js'
import type { Frame } from '../../../../src/drivers/libvirt/rpc/frame.js'
import type { RemoteStream } from '../../../../src/drivers/libvirt/rpc/remote-stream.js'
import { FakeLibvirt } from '../../../support/fake-libvirt.js'

const dom = { name: 'web-1', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 }
const stream = 3
const more = 2

/** A call for a stream, which the daemon has not answered. */
async function asked(): Promise<{
  rpc: RpcConnection
  peer: FakeLibvirt
  call: Frame
  opening: Promise<{ readonly stream: RemoteStream }>
}> {
  const peer = new FakeLibvirt()
  const rpc = new RpcConnection(peer.socket)
  const opening = rpc.open('domain_screenshot', { dom, screen: 0, flags: 0 })
  return { rpc, peer, opening, call: await peer.next() }
}

async function opened(): Promise<{ rpc: RpcConnection; peer: FakeLibvirt; call: Frame; data: RemoteStream }> {
  const { rpc, peer, opening, call } = await asked()
  peer.answer(call, 'domain_screenshot', { mime: 'image/png' })
  return { rpc, peer, call, data: (await opening).stream }
}

const end = (rpc: RpcConnection): void => {
  rpc.destroy(new ConnectionError({ reason: 'the test is over' }))
}

test('data is read to its end, which is confirmed by both sides', async () => {
  const { rpc, peer, call, data } = await opened()
  peer.send({ ...call, type: stream, status: more }, Buffer.from('ab'))
  peer.send({ ...call, type: stream, status: more }, Buffer.from('c'))
  peer.send({ ...call, type: stream, status: more })
  const pieces: Buffer[] = []
  for await (const piece of data as AsyncIterable<Buffer>) pieces.push(piece)
  expect(Buffer.concat(pieces).toString()).toBe('abc')
  expect(await peer.next()).toMatchObject({ type: stream, status: 0, serial: call.serial, procedure: call.procedure })
  const closed = once(data, 'close')
  peer.send({ ...call, type: stream, status: 0 })
  await closed
  expect(data.errored).toBeNull()
  end(rpc)
})

test('data that arrives before the answer to the call is kept', async () => {
  const { rpc, peer, call, opening } = await asked()
  peer.send({ ...call, type: stream, status: more }, Buffer.from('early'))
  peer.answer(call, 'domain_screenshot', { mime: undefined })
  const { stream: data } = await opening
  const [piece] = (await once(data, 'data')) as [Buffer]
  expect(piece.toString()).toBe('early')
  end(rpc)
})

/** A call for a stream, of which so many MiB arrive before the answer. */
async function withEarlyData(mebibytes: number): Promise<Awaited<ReturnType<typeof asked>>> {
  const stage = await asked()
  const piece = Buffer.alloc(2 ** 20)
  for (let index = 0; index < mebibytes; index += 1) {
    stage.peer.send({ ...stage.call, type: stream, status: more }, piece)
  }
  return stage
}

test('more data than is read ahead may arrive before the answer to the call', async () => {
  const { rpc, peer, call, opening } = await withEarlyData(3)
  peer.answer(call, 'domain_screenshot', { mime: undefined })
  peer.send({ ...call, type: stream, status: more })
  const { stream: data } = await opening
  let bytes = 0
  for await (const piece of data as AsyncIterable<Buffer>) bytes += piece.length
  expect(bytes).toBe(3 * 2 ** 20)
  end(rpc)
})

test('data without an answer to the call, and without an end, is a ProtocolError', async () => {
  const { opening } = await withEarlyData(66)
  await expect(opening).rejects.toThrow(ProtocolError)
})

test('an error of libvirt ends the stream with its words', async () => {
  const { rpc, peer, call, data } = await opened()
  const ended = once(data, 'end')
  data.resume()
  peer.refuse(call, 38, 'No space left on device', stream)
  await expect(ended).rejects.toThrow('No space left on device')
  end(rpc)
})

test('what is written goes out in pieces, and its end is finished when libvirt confirms it', async () => {
  const { rpc, peer, call, data } = await opened()
  const content = Buffer.alloc(600 * 1024, 7)
  data.end(content)
  const parts = [await peer.next(), await peer.next(), await peer.next()]
  expect(Buffer.concat(parts.map(({ payload }) => payload))).toEqual(content)
  expect(await peer.next()).toMatchObject({ type: stream, status: 0 })
  expect(data.writableFinished).toBe(false)
  const finished = once(data, 'finish')
  peer.send({ ...call, type: stream, status: 0 })
  await finished
  end(rpc)
})

test('a stream that is given up is aborted, and what still arrives for it is left alone', async () => {
  const { rpc, peer, call, data } = await opened()
  data.destroy()
  expect(await peer.next()).toMatchObject({ type: stream, status: 1, serial: call.serial })
  peer.send({ ...call, type: stream, status: more }, Buffer.from('late'))
  peer.send({ ...call, type: stream, status: 0 })
  const next = rpc.call('connect_get_hostname', {})
  peer.answer(await peer.next(), 'connect_get_hostname', { hostname: 'lab' })
  expect(await next).toEqual({ hostname: 'lab' })
  end(rpc)
})

test('a lost connection ends its streams', async () => {
  const { peer, data } = await opened()
  const ended = once(data, 'end')
  peer.hangUp()
  await expect(ended).rejects.toBeInstanceOf(ConnectionError)
})
