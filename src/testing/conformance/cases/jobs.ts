import { setImmediate as turn } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { CancelErrors } from '../../../operation-errors.js'
import type { VmError } from '../../../errors.js'
import { Job } from '../../../job/job.js'
import type { Progress } from '../../../job/progress.js'
import type { Result } from '../../../result.js'
import type { Vm } from '../../../vm.js'
import type { VmState } from '../../../model/vm-state.js'
import { wallClockMs } from '../../../clock.js'
import { patience, soon } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** A shutdown that goes on for as long as the case wants. */
async function endlessShutdown(trial: Trial): Promise<{ vm: Vm; job: ReturnType<Vm['stop']> }> {
  const { vm, guest } = await trial.runningVm()
  await guest.ignorePowerButton()
  return { vm, job: vm.stop() }
}

/** Cancels a job after so many turns of the event loop. */
async function cancelAfter<T, E extends VmError>(
  turns: number,
  job: Job<T, E>,
): Promise<{ verdict: Result<void, CancelErrors>; result: Result<T, E> }> {
  for (let count = 0; count < turns; count += 1) await turn()
  const verdict = await job.cancel()
  if (verdict.isErr()) expect(['JOB_NOT_CANCELABLE', 'JOB_FINISHED']).toContain(verdict.error.code)
  return { verdict, result: await job }
}

/** Cancels a clone after so many turns; it is there whole, or not at all. */
async function cancelClone(trial: Trial, vm: Vm, turns: number): Promise<void> {
  const name = `clone ${turns}`
  const { verdict, result } = await cancelAfter(turns, vm.clone({ name }))
  expect(result.isErr()).toBe(verdict.isOk())
  expect(await trial.server.getVmList({ name }).unwrap()).toHaveLength(result.isOk() ? 1 : 0)
}

export const jobs: Cases = ({ host, promises }) => {
  promises('a job tells what it does, to what, and since when', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const before = wallClockMs()
    const job = vm.start()
    expect(job.status).toBe('running')
    expect(job.result).toBeUndefined()
    expect(job.retCode).toBeUndefined()
    expect(job.finishedAt).toBeUndefined()
    expect(job.operation).toBe('vm.start')
    expect(job.target).toEqual({ type: 'vm', id: vm.id, name: vm.name })
    const result = await job
    expect(await job).toBe(result)
    expect(job.result).toBe(result)
    expect(job.status).toBe('finished')
    expect(job.retCode).toBe('SUCCESS')
    expect(job.startedAt.getTime()).toBeGreaterThanOrEqual(before)
    expect(job.finishedAt!.getTime()).toBeGreaterThanOrEqual(job.startedAt.getTime())
  })

  promises(
    'progress never falls, and ends at 100 where the job succeeds',
    ['vm.start', 'vm.suspend', 'vm.resume', 'vm.clone', 'vm.createSnapshot', 'vm.stop', 'guest'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      const watch = async (start: () => Job<unknown>): Promise<void> => {
        const seen: Progress[] = []
        const job = start()
        job.onProgress((progress) => seen.push(progress))
        const result = await job
        if (result.isErr()) throw result.error
        const percents = seen.map(({ percent }) => percent)
        expect(percents).toEqual([...percents].sort((a, b) => a - b))
        expect(percents.at(-1)).toBe(100)
        expect(percents.slice(0, -1).every((percent) => percent >= 0 && percent < 100)).toBe(true)
        expect(job.progress.percent).toBe(100)
      }
      await watch(() => vm.start())
      await trial.talkTo(vm).untilReady()
      await watch(() => vm.createSnapshot({ name: 'snapshot' }))
      await watch(() => vm.suspend())
      await watch(() => vm.resume())
      await watch(() => vm.stop())
      await watch(() => vm.clone({ name: 'copy' }))
    },
  )

  promises('a job that fails stays below 100', ['vm.resume'], async (trial) => {
    const vm = await trial.createVm()
    const job = vm.resume()
    await failureOf(job, 'INVALID_STATE')
    expect(job.progress.percent).toBeLessThan(100)
    expect(job.retCode).toBe('INVALID_STATE')
  })

  promises(
    'cancelling a start tells the truth, at whatever moment',
    ['vm.start', 'vm.stop', 'guest'],
    async (trial) => {
      const vm = await trial.createVm()
      for (let turns = 0; turns < 40; turns = turns * 2 + 1) {
        const job = vm.start()
        for (let count = 0; count < turns; count += 1) await turn()
        const verdict = await job.cancel()
        const result = await job
        const state = await vm.getState().unwrap()
        if (verdict.isOk()) {
          expect(result.isErr() && result.error.code).toBe('JOB_CANCELLED')
          expect(state).toBe('stopped')
        } else {
          expect(['JOB_NOT_CANCELABLE', 'JOB_FINISHED']).toContain(verdict.error.code)
          if (result.isErr()) throw result.error
          expect(state).toBe('running')
          await vm.stop({ mode: 'kill' }).unwrap()
        }
        await trial.expectState(vm, 'stopped')
      }
      await trial.startVm(vm)
    },
  )

  promises(
    'cancelling a suspension tells the truth, at whatever moment, and the guest loses nothing',
    ['vm.suspend', 'vm.resume', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      let counted = await guest.count()
      let reader = guest
      for (let turns = 0; turns < 40; turns = turns * 2 + 1) {
        const { verdict, result } = await cancelAfter(turns, vm.suspend())
        if (verdict.isOk()) {
          expect(result.isErr() && result.error.code).toBe('JOB_CANCELLED')
          await trial.expectState(vm, 'running')
        } else {
          if (result.isErr()) throw result.error
          await trial.expectState(vm, 'suspended')
          await vm.resume().unwrap()
          reader = trial.talkTo(vm)
        }
        counted += 1
        expect(await reader.count()).toBe(counted)
      }
    },
  )

  promises(
    'cancelling a snapshot or a clone tells the truth, and leaves it whole or not at all',
    ['vm.createSnapshot', 'vm.getSnapshotTree', 'vm.clone', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x4d)
      for (let turns = 0; turns < 40; turns = turns * 2 + 1) {
        const before = await vm.getSnapshotTree().unwrap()
        const { verdict, result } = await cancelAfter(turns, vm.createSnapshot({ name: `after ${turns}` }))
        expect(result.isErr()).toBe(verdict.isOk())
        if (result.isErr()) expect(await vm.getSnapshotTree().unwrap()).toEqual(before)
        else await vm.switchToSnapshot(result.value.id).unwrap()
        await trial.expectState(vm, 'running')

        if (host.refusedFrom['vm.clone']?.includes('running') !== true) await cancelClone(trial, vm, turns)
      }
      expect(await trial.talkTo(vm).readDisk()).toBe(0x4d)
    },
  )

  promises(
    'cancelling a switch to a snapshot tells the truth, and leaves the VM as it was or as it is there',
    ['vm.createSnapshot', 'vm.switchToSnapshot', 'vm.stop', 'guest'],
    async (trial) => {
      const { vm } = await trial.runningVm()
      const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
      for (let turns = 0; turns < 200; turns = turns * 2 + 1) {
        await vm.stop({ mode: 'kill' }).unwrap()
        const { verdict, result } = await cancelAfter(turns, vm.switchToSnapshot(snapshot.id))
        expect(result.isErr()).toBe(verdict.isOk())
        await trial.expectState(vm, verdict.isOk() ? 'stopped' : snapshot.state)
        if (verdict.isOk()) await vm.start().unwrap()
      }
    },
  )

  promises(
    'cancelling a restart tells the truth, at whatever moment, and never leaves the VM stopped',
    ['vm.restart', 'guest'],
    async (trial) => {
      const { vm } = await trial.runningVm()
      for (let turns = 0; turns < 200; turns = turns * 2 + 1) {
        const { verdict, result } = await cancelAfter(turns, vm.restart())
        expect(result.isErr()).toBe(verdict.isOk())
        await trial.expectState(vm, 'running')
      }
    },
  )

  promises(
    'cancelling a clone of a stopped VM tells the truth, and leaves it whole or not at all',
    ['vm.clone'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      for (let turns = 0; turns < 40; turns = turns * 2 + 1) {
        await cancelClone(trial, vm, turns)
        await trial.expectState(vm, 'stopped')
      }
    },
  )

  promises(
    'a start that was given no time ends with TIMEOUT and a stopped VM, or tells that nobody knows',
    ['vm.start'],
    async (trial) => {
      const vm = await trial.createVm()
      const result = await vm.start({ timeoutMs: 0 })
      const settled = await vm.waitForState(['stopped', 'running'], patience).unwrap()
      if (result.isOk()) expect(settled).toBe('running')
      else {
        expect(['TIMEOUT', 'OUTCOME_UNKNOWN']).toContain(result.error.code)
        if (result.error.code === 'TIMEOUT') expect(settled).toBe('stopped')
      }
    },
  )

  promises('a job with a signal that was aborted before does nothing', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const log = trial.events({ vmId: vm.id })
    await failureOf(vm.start({ signal: AbortSignal.abort() }), 'JOB_CANCELLED')
    await trial.expectState(vm, 'stopped')
    await log.close()
    expect(log.events).toEqual([])
  })

  promises('cancelling a job that has ended says JOB_FINISHED, and changes nothing', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const job = vm.start()
    await job.unwrap()
    await failureOf(job.cancel(), 'JOB_FINISHED')
    await trial.expectState(vm, 'running')
  })

  promises('getJobs shows a job in flight until it ends', ['server.getJobs', 'vm.stop', 'guest'], async (trial) => {
    const { vm, job } = await endlessShutdown(trial)
    const shown = (await trial.server.getJobs().unwrap()).filter(({ operation }) => operation === 'vm.stop')
    expect(shown).toHaveLength(1)
    expect(shown[0]!.id).toBe(job.id)
    expect(shown[0]!.target).toEqual(job.target)
    await vm.stop({ mode: 'kill' }).unwrap()
    expect(await shown[0]).toBe(await job)
    expect(await trial.server.getJobs().unwrap()).toEqual([])
  })

  promises('a wait that is given up leaves the job alone', ['vm.stop', 'guest'], async (trial) => {
    const { vm, job } = await endlessShutdown(trial)
    await failureOf(job.wait({ timeoutMs: 20 }), 'WAIT_TIMEOUT')
    await failureOf(job.wait({ signal: AbortSignal.abort() }), 'WAIT_ABORTED')
    expect(job.status).toBe('running')
    await vm.stop({ mode: 'kill' }).unwrap()
    await job
    expect(job.status).toBe('finished')
  })

  promises(
    'operations beyond the limit wait in line, can be cancelled there, and then nothing was sent',
    ['vm.stop', 'vm.start', 'guest'],
    async (trial) => {
      const second = await trial.createVm()
      const { job } = await endlessShutdown(trial)
      const log = trial.events({ vmId: second.id })
      const queued = second.start()
      expect(queued.progress.phase).toBe('queued')
      expect(queued.isCancelable).toBe(true)
      await queued.cancel().unwrap()
      await failureOf(queued, 'JOB_CANCELLED')
      const impatient = second.start({ timeoutMs: 30 })
      await failureOf(impatient, 'TIMEOUT')
      await log.close()
      expect(log.events).toEqual([])

      const patient = second.start()
      expect(patient.status).toBe('running')
      if (host.withdrawsPowerButton) {
        await job.cancel().unwrap()
        await patient.unwrap()
        await trial.expectState(second, 'running')
      }
    },
    { connect: { maxConcurrentOperations: 1 } },
  )

  promises('Job.all gives the values in order, with one progress', ['vm.start', 'vm.getState'], async (trial) => {
    const vms = await Job.all(
      Array.from({ length: 3 }, () => trial.server.createVm({ ...trial.profile.spec, name: trial.newName() })),
    ).unwrap()
    await Job.all(vms.map((vm) => vm.start())).unwrap()
    expect(await Job.all(vms.map((vm) => vm.getState())).unwrap()).toEqual(['running', 'running', 'running'])
  })

  promises(
    'operations on one VM at the same time are done one after another, or refused, and never harm it',
    ['vm.start', 'vm.stop', 'vm.pause', 'vm.resume', 'vm.suspend', 'vm.reset', 'vm.edit', 'vm.createSnapshot', 'guest'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      const log = trial.events({ vmId: vm.id })
      const attempts: (() => Job<unknown>)[] = [
        () => vm.start(),
        () => vm.start(),
        () => vm.pause(),
        () => vm.createSnapshot({ name: 'meanwhile' }),
        () => vm.resume(),
        () => vm.suspend(),
        () => vm.edit({ description: 'meanwhile' }),
        () => vm.resume(),
        () => vm.reset(),
        () => vm.stop({ mode: 'kill' }),
        () => vm.start(),
        () => vm.getState(),
      ]
      const results = await Promise.all(attempts.map((attempt) => attempt()))
      for (const result of results) {
        if (result.isErr()) expect(['INVALID_STATE', 'RESOURCE_BUSY']).toContain(result.error.code)
      }
      const settled: VmState[] = ['stopped', 'running', 'paused', 'suspended']
      const state = await vm.getState().unwrap()
      expect(settled).toContain(state)
      expect(vm.state).toBe(state)
      await log.close()
      if (log.states.length > 0) expect(log.states.at(-1)).toBe(state)

      if (state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
      const { guest } = await trial.startVm(vm)
      await guest.writeDisk(0x3c)
      expect(await guest.readDisk()).toBe(0x3c)
    },
  )

  promises('of two starts at once, one succeeds', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const results = await Promise.all([vm.start(), vm.start()])
    expect(results.filter((result) => result.isOk())).toHaveLength(1)
    for (const result of results)
      if (result.isErr()) expect(['INVALID_STATE', 'RESOURCE_BUSY']).toContain(result.error.code)
    await trial.expectState(vm, 'running')
  })

  promises(
    'a job that lasts is found by another connection, as what it is, and ends there as it ends here',
    ['server.attachJob', 'server.getJobs', 'vm.stop', 'guest'],
    async (trial) => {
      const { vm, job } = await endlessShutdown(trial)
      const other = await trial.connectAgain()
      const found = await vi.waitFor(async () => {
        const [shown] = await other.getJobs().unwrap()
        return shown!.ref
      }, soon)
      expect(found.operation).toBe('vm.stop')
      expect(found.target).toEqual(job.target)
      await vi.waitFor(() => expect(found.token).toBe(job.token), soon)
      expect(found.status).toBe('running')
      const attached = other.attachJob(found.token!)
      await vm.stop({ mode: 'kill' }).unwrap()
      await job.unwrap()
      for (const follower of [found, attached.ref]) {
        expect(await follower.unwrap()).toBe('stopped')
        expect(follower.progress.percent).toBe(100)
      }
      expect(await other.getJobs().unwrap()).toEqual([])
    },
  )

  promises('a job that the host does not know cannot be attached to', ['server.attachJob'], async (trial) => {
    await failureOf(trial.server.attachJob('no-such-job'), 'INVALID_ARGUMENT')
  })
}
