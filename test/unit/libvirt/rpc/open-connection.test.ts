import { ConnectionError } from 'awaitvm'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { addressOf } from '../../../../src/drivers/libvirt/libvirt-uri.js'
import { openConnection } from '../../../../src/drivers/libvirt/rpc/open-connection.js'
import type { ProcedureName } from '../../../../src/drivers/libvirt/rpc/procedures.js'
import { FakeLibvirtDaemon } from '../../../support/fake-libvirt-daemon.js'

const address = addressOf(new URL('qemu:///system'))
const open = (daemon: FakeLibvirtDaemon): ReturnType<typeof openConnection> =>
  openConnection(daemon, address, new AbortController().signal)

/** A daemon that says nothing to the call. */
const silentTo = (name: ProcedureName): FakeLibvirtDaemon => {
  const daemon = new FakeLibvirtDaemon()
  daemon.held.add(name)
  return daemon
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test.each(['auth_list', 'connect_supports_feature'] as const)(
  'a daemon that takes the connection, and says nothing to %s, is given up in time',
  async (name) => {
    const daemon = silentTo(name)
    const failed = expect(open(daemon)).rejects.toThrow(ConnectionError)
    await daemon.call()
    await vi.advanceTimersByTimeAsync(30_000)
    await failed
    expect(vi.getTimerCount()).toBe(0)
  },
)

test('a person may take any time for polkit, and libvirt may not after that', async () => {
  const daemon = silentTo('auth_list')
  daemon.held.add('connect_supports_feature')
  const opening = open(daemon)
  const failed = expect(opening).rejects.toThrow('has not answered for 30 s')
  const { peer, frame } = await daemon.call()
  peer.answer(frame, 'auth_list', { types: [2] })
  const question = await daemon.call()
  await vi.advanceTimersByTimeAsync(600_000)
  peer.answer(question.frame, 'auth_polkit', { complete: true })
  await daemon.call()
  await vi.advanceTimersByTimeAsync(30_000)
  await failed
})

test('once connected, no limit is left', async () => {
  const rpc = await open(new FakeLibvirtDaemon())
  expect(vi.getTimerCount()).toBe(0)
  expect(rpc.isOpen).toBe(true)
  rpc.destroy(new ConnectionError({ reason: 'the test is over' }))
})
