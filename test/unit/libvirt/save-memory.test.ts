import { expect, test } from 'vitest'
import type { CancelHandler } from '../../../src/driver/task.js'
import { ConnectionPool } from '../../../src/drivers/libvirt/connection-pool.js'
import { addressOf } from '../../../src/drivers/libvirt/libvirt-uri.js'
import { procedureNamed } from '../../../src/drivers/libvirt/rpc/procedures.js'
import { saveMemory } from '../../../src/drivers/libvirt/save-memory.js'
import { FakeLibvirtDaemon } from '../../support/fake-libvirt-daemon.js'

const address = addressOf(new URL('qemu:///system'))
const dom = { name: 'web-1', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 }

/** `VIR_DOMAIN_JOB_OPERATION_...` */
const saving = 2
const backup = 9

test.each([
  ['the save itself is ended', saving, true],
  ["a job of another client's, for which the save waits, goes on", backup, false],
])('a save that is cancelled: %s', async (_what, operation, isEnded) => {
  const daemon = new FakeLibvirtDaemon()
  const pool = await ConnectionPool.open(daemon, address, {}, new AbortController().signal)
  let cancel: CancelHandler = () => undefined
  const saved = saveMemory(pool, dom, {
    operation: 'vm.suspend',
    target: undefined,
    signal: new AbortController().signal,
    progress: () => undefined,
    cancelWith: (handler) => {
      cancel = handler
      return () => undefined
    },
    setToken: () => undefined,
  })
  const save = await daemon.call()
  expect(save.frame.procedure).toBe(procedureNamed.domain_managed_save.number)

  const isTaken = cancel(undefined)
  const called: number[] = []
  void (async () => {
    for (;;) {
      const { peer, frame } = await daemon.call()
      called.push(frame.procedure)
      const params = [{ field: 'operation', value: { type: 1 as const, value: operation } }]
      if (frame.procedure !== procedureNamed.domain_get_job_stats.number) peer.answer(frame, 'domain_abort_job', {})
      else peer.answer(frame, 'domain_get_job_stats', { type: 1, params })
    }
  })()
  expect(await isTaken).toBe(isEnded)
  expect(called.includes(procedureNamed.domain_abort_job.number)).toBe(isEnded)

  save.peer.answer(save.frame, 'domain_managed_save', {})
  await saved
  await pool.close()
})
