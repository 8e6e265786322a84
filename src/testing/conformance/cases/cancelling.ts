import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'vitest'
import type { CancelErrors } from '../../../operation-errors.js'
import type { VmError } from '../../../errors.js'
import type { Job } from '../../../job/job.js'
import type { Result } from '../../../result.js'
import type { Vm } from '../../../vm.js'
import { patience } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

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

/** Cancels a clone after so many turns. The clone must be complete, or must not exist. */
async function cancelClone(trial: Trial, vm: Vm, turns: number): Promise<void> {
  const name = `clone ${turns}`
  const { verdict, result } = await cancelAfter(turns, vm.clone({ name }))
  expect(result.isErr()).toBe(verdict.isOk())
  expect(await trial.server.getVmList({ name }).unwrap()).toHaveLength(result.isOk() ? 1 : 0)
}

export const cancelling: Cases = ({ host, promises }) => {
  promises(
    'cancelling a start at any moment reports what happened',
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
    'cancelling a suspension at any moment reports what happened, and the guest loses nothing',
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
    'cancelling a snapshot or a clone reports what happened, and leaves a complete one or none',
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
    'cancelling a switch to a snapshot reports what happened, and leaves the VM as it was or as it is in the snapshot',
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
    'cancelling a restart at any moment reports what happened, and never leaves the VM stopped',
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
    'cancelling a clone of a stopped VM reports what happened, and leaves a complete clone or none',
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
    'a start with a timeout of 0 ends with TIMEOUT and a stopped VM, or with OUTCOME_UNKNOWN',
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

  promises('a job with an aborted signal does nothing', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const log = trial.events({ vmId: vm.id })
    await failureOf(vm.start({ signal: AbortSignal.abort() }), 'JOB_CANCELLED')
    await trial.expectState(vm, 'stopped')
    await log.close()
    expect(log.events).toEqual([])
  })

  promises('cancelling a finished job ends with JOB_FINISHED, and changes nothing', ['vm.start'], async (trial) => {
    const vm = await trial.createVm()
    const job = vm.start()
    await job.unwrap()
    await failureOf(job.cancel(), 'JOB_FINISHED')
    await trial.expectState(vm, 'running')
  })
}
