import { expect, test } from 'vitest'
import { ConnectionPool } from '../../../src/drivers/libvirt/connection-pool.js'
import { addressOf } from '../../../src/drivers/libvirt/libvirt-uri.js'
import type { FakeLibvirt } from '../../support/fake-libvirt.js'
import { FakeLibvirtDaemon } from '../../support/fake-libvirt-daemon.js'

const address = addressOf(new URL('qemu:///system'))
const dom = { name: 'web-1', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 }

async function opened(): Promise<{ daemon: FakeLibvirtDaemon; pool: ConnectionPool }> {
  const daemon = new FakeLibvirtDaemon()
  return { daemon, pool: await ConnectionPool.open(daemon, address, {}, new AbortController().signal) }
}

const save = (pool: ConnectionPool): Promise<unknown> => pool.callLong('domain_managed_save', { dom, flags: 0 })

test('long calls that come together share connections, four on each', async () => {
  const { daemon, pool } = await opened()
  const calls = Array.from({ length: 20 }, () => save(pool))
  const callsOf = new Map<FakeLibvirt, number>()
  for (const _call of calls) {
    const { peer, frame } = await daemon.call()
    callsOf.set(peer, (callsOf.get(peer) ?? 0) + 1)
    peer.answer(frame, 'domain_managed_save', {})
  }
  await Promise.all(calls)
  expect(daemon.peers.slice(1).map((peer) => callsOf.get(peer))).toEqual([4, 4, 4, 4, 4])
  await pool.close()
})

test('a place is free again after its call, and a connection that was lost is not used again', async () => {
  const { daemon, pool } = await opened()
  const first = save(pool)
  const { peer, frame } = await daemon.call()
  peer.answer(frame, 'domain_managed_save', {})
  await first
  const second = save(pool)
  expect((await daemon.call()).peer).toBe(peer)
  peer.hangUp()
  await expect(second).rejects.toThrow('libvirt has closed the connection')
  const third = save(pool)
  const again = await daemon.call()
  expect(again.peer).not.toBe(peer)
  again.peer.answer(again.frame, 'domain_managed_save', {})
  await third
  expect(daemon.peers).toHaveLength(3)
  await pool.close()
})

test('a connection that can not be opened fails those that wait for it, and the next call opens another', async () => {
  const { daemon, pool } = await opened()
  daemon.held.add('connect_open')
  const failed = [save(pool), save(pool)]
  const { peer, frame } = await daemon.call()
  peer.refuse(frame, 38, 'no such driver')
  for (const call of failed) await expect(call).rejects.toThrow('no such driver')
  daemon.held.clear()
  const next = save(pool)
  const call = await daemon.call()
  call.peer.answer(call.frame, 'domain_managed_save', {})
  await next
  await pool.close()
})

test('a close ends connections that are opening', async () => {
  const { daemon, pool } = await opened()
  daemon.held.add('connect_open')
  const long = expect(save(pool)).rejects.toThrow('the server was closed')
  const stream = expect(pool.openStream('domain_screenshot', { dom, screen: 0, flags: 0 })).rejects.toThrow(
    'the server was closed',
  )
  await daemon.call()
  await daemon.call()
  await pool.close()
  await Promise.all([long, stream])
})
