import { connect } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { LibvirtDaemon } from '../support/libvirt-daemon.js'
import { missingLibvirt, skipWithout } from '../support/optional-tool.js'

let daemon: LibvirtDaemon
beforeAll(async () => {
  if (missingLibvirt === undefined) daemon = await LibvirtDaemon.start()
})
afterAll(async () => {
  if (missingLibvirt === undefined) await daemon[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, missingLibvirt)
})

test('libvirtd is killed with 50 calls under way: each settles, and what has changed is told once it is back', async () => {
  await using server = await connect(`test:///default?socket=${daemon.socket}`).unwrap()
  // The test driver forgets it with the daemon.
  const vm = await server.createVm({ name: 'forgotten' }).unwrap()
  const kept = await server.getVm('test').unwrap()
  const log = new EventLog(server.events())
  await daemon.freeze()
  const jobs = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? kept.pause() : kept.getState()))
  await daemon.kill()
  const codes = (await Promise.all(jobs)).map((result) => (result.isErr() ? result.error.code : 'OK'))
  expect(codes.filter((code) => code !== 'CONNECTION_FAILED' && code !== 'OUTCOME_UNKNOWN')).toEqual([])
  const refused = await kept.getState()
  expect(refused.isErr() && refused.error.code).toBe('CONNECTION_FAILED')
  await daemon.restart()
  await log.until(({ type }) => type === 'deleted')
  expect(log.events).toContainEqual(expect.objectContaining({ type: 'deleted', vmId: vm.id }))
  expect(await kept.getState().unwrap()).toBe('running')
  await kept.pause().unwrap()
  await log.until((event) => event.type === 'state' && event.state === 'paused' && event.vmId === kept.id)
  await log.close()
})
