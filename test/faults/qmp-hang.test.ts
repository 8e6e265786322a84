import { TimeoutError, type OperationCode } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { timedCalls } from '../support/timed-calls.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const timeoutMs = 300
/** The limit and the second in which it is kept, on a loaded machine. QEMU is waited for ten seconds where nothing is said. */
const maxMs = 5000

/** Operations that do not need QEMU, or anything else. */
const unaffected: ReadonlySet<OperationCode> = new Set(['server.getInfo', 'server.registerVm', 'vm.getSnapshotTree'])

test(
  'every operation on a QEMU that hangs keeps its time limit, and does not take place later if it was not sent',
  { timeout: 120_000 },
  async () => {
    await using host = await QmpHost.open()
    const { server, folder } = host
    const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
    const { id: snapshot } = await vm.createSnapshot({ name: 'before' }).unwrap()
    const guest = await host.boot(vm)
    expect(await guest.count()).toBe(1)
    const before = vm.config
    const pid = await host.pidOf(vm)
    for (const [operation, call] of Object.entries(timedCalls)) {
      // Each finds it hanging for a moment: after ten seconds its state is known to be unknown.
      process.kill(pid, 'SIGSTOP')
      const began = performance.now()
      const job = call(vm, { timeoutMs }, { server, folder, snapshot })
      const result = await job.wait()
      const tookMs = performance.now() - began
      expect(tookMs, operation).toBeLessThan(maxMs)
      if (!unaffected.has(job.operation)) expect(job.retCode, operation).toBe('TIMEOUT')
      else if (result.isErr()) expect(result.error.code, operation).toBe('INVALID_ARGUMENT')
      process.kill(pid, 'SIGCONT')
      await vm.waitForState('running').unwrap()
    }
    expect(await guest.count()).toBe(2)
    await vm.refresh().unwrap()
    expect(vm.config).toEqual(before)
    expect(await server.getVmList().unwrap()).toHaveLength(1)
    expect(await vm.getSnapshotTree().unwrap()).toMatchObject([{ id: snapshot, children: [] }])
  },
)

for (const [phase, to, begin] of [
  // It is cancelled as soon as QEMU continues.
  ['saving memory', ['running', 'suspended'], 'vm.suspend'],
  ['waiting for the guest', ['stopped'], 'vm.stop'],
  ['waiting for the guest', ['running'], 'vm.restart'],
] as const) {
  test(`a QEMU that hangs during ${begin} does not block the job, which says that it may still take place`, async () => {
    await using host = await QmpHost.open()
    const { server, folder } = host
    const vm = await host.createVm()
    const guest = await host.boot(vm)
    const pid = await host.pidOf(vm)
    const job = timedCalls[begin](vm, { timeoutMs: 1000 }, { server, folder, snapshot: '' })
    job.onProgress((progress) => {
      if (progress.phase === phase) process.kill(pid, 'SIGSTOP')
    })
    const error = await failureOf(job.wait({ timeoutMs: 1000 + maxMs }), 'OUTCOME_UNKNOWN')
    expect(error.cause).toBeInstanceOf(TimeoutError)
    expect(error.hint).toBeTruthy()
    process.kill(pid, 'SIGCONT')
    if (begin === 'vm.restart') await guest.untilGone()
    await vm.waitForState(to).unwrap()
  })
}

test('a kill does not wait for an operation during which QEMU hangs, once its job has ended', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const pid = await host.pidOf(vm)
  const job = vm.suspend({ timeoutMs: 1000 })
  job.onProgress(({ phase }) => {
    if (phase === 'saving memory') process.kill(pid, 'SIGSTOP')
  })
  await failureOf(job, 'OUTCOME_UNKNOWN')
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await vm.getState().unwrap()).toBe('stopped')
  await host.boot(vm)
})
