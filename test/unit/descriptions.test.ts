import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { batch, connect, ok, ResourceBusyError } from 'awaitvm'
import { createJob, createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'

const target = { type: 'vm', id: '1', name: 'web-1' } as const

test('a VM tells its name and state, also in a table', async () => {
  const { server } = createSimulatedServer({ vms: [{ name: 'web-1', state: 'running' }] })
  const vm = await server.getVm('web-1').unwrap()
  expect(String(vm)).toBe(`Vm "web-1" running (${vm.id})`)
  expect(inspect(vm)).toBe(String(vm))
  expect(String(vm.guest)).toBe('VmGuest of "web-1"')
  expect(inspect(vm.guest)).toBe(String(vm.guest))
  expect(JSON.parse(JSON.stringify(vm.guest))).toEqual({ target: { type: 'vm', id: vm.id, name: 'web-1' } })
  expect(JSON.parse(JSON.stringify(vm))).toMatchObject({ name: 'web-1', state: 'running', config: { cpus: 1 } })

  const output = new PassThrough()
  new Console(output).table([vm])
  output.end()
  const table = await text(output)
  expect(table).toContain("'web-1'")
  expect(table).toContain("'running'")
  expect(table).not.toContain('guest')
  await vm.edit({ name: 'web-2' }).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(Object.entries(vm)).toEqual([
    ['id', vm.id],
    ['name', 'web-2'],
    ['state', 'stopped'],
  ])
  await server.close()
})

test('a job tells how it stands', () => {
  const { job, progress, fail } = createJob({ target })
  progress({ percent: 40, phase: 'loading' })
  expect(String(job)).toBe(`Job ${job.id} vm.start "web-1" running 40 % (loading)`)
  expect(JSON.parse(JSON.stringify(job))).toEqual({
    id: job.id,
    operation: 'vm.start',
    target,
    status: 'running',
    progress: { percent: 40, phase: 'loading' },
    startedAt: job.startedAt.toISOString(),
  })
  fail(new ResourceBusyError({ reason: 'locked' }))
  expect(String(job.ref)).toBe(`JobRef ${job.id} vm.start "web-1" RESOURCE_BUSY`)
  expect(JSON.parse(JSON.stringify(job.ref))).toMatchObject({
    status: 'finished',
    retCode: 'RESOURCE_BUSY',
    error: { code: 'RESOURCE_BUSY', message: 'Cannot start VM "web-1": locked.' },
  })
})

test('a server tells its URI without the password, and the report of a batch its counts', async () => {
  await using simulated = createSimulatedServer()
  const uri = 'qemu+ssh://ci:secret@host/system'
  using _ = simulated.intercept(uri)
  const server = await connect(uri).unwrap()
  const shown = [String(server), inspect(server), JSON.stringify(server)]
  expect(shown).toEqual([
    'Server qemu+ssh://ci@host/system (simulated)',
    'Server qemu+ssh://ci@host/system (simulated)',
    '{"uri":"qemu+ssh://ci@host/system","driver":"simulated","isClosed":false}',
  ])
  await server.close()
  const report = await batch([1, 2], () => Promise.resolve(ok())).unwrap()
  expect([String(report), inspect(report)]).toEqual([
    'BatchReport: 2 succeeded, 0 failed, 0 cancelled',
    'BatchReport: 2 succeeded, 0 failed, 0 cancelled',
  ])
})
