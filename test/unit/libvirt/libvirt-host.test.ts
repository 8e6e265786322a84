import { expect, test } from 'vitest'
import { LibvirtHost } from '../../../src/drivers/libvirt/libvirt-host.js'
import { addressOf } from '../../../src/drivers/libvirt/libvirt-uri.js'
import { FakeLibvirtDaemon } from '../../support/fake-libvirt-daemon.js'

const address = addressOf(new URL('qemu:///system'))

async function opened(): Promise<{ daemon: FakeLibvirtDaemon; host: LibvirtHost }> {
  const daemon = new FakeLibvirtDaemon()
  return { daemon, host: await LibvirtHost.open(address, daemon, new AbortController().signal) }
}

test('a close in the midst of a reconnect ends it', async () => {
  const { daemon, host } = await opened()
  daemon.held.add('connect_domain_event_callback_register_any')
  daemon.peers[0]?.hangUp()
  await daemon.call()
  await host.close()
  expect(host.pool.control.isOpen).toBe(false)
})

test('a list that fails after a reconnect is asked for again', async () => {
  const { daemon, host } = await opened()
  daemon.held.add('connect_get_all_domain_stats')
  daemon.peers[0]?.hangUp()
  const first = await daemon.call()
  first.peer.refuse(first.frame, 1, 'internal error')
  const second = await daemon.call()
  expect(second.peer).toBe(first.peer)
  second.peer.answer(second.frame, 'connect_get_all_domain_stats', { retStats: [] })
  await host.close()
})
