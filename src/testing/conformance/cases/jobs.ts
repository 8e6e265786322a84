import { expect, vi } from 'vitest'
import { Job } from '../../../job/job.js'
import type { Progress } from '../../../job/progress.js'
import type { Vm } from '../../../vm.js'
import type { VmState } from '../../../model/vm-state.js'
import { wallClockMs } from '../../../clock.js'
import { soon } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** A shutdown that goes on until the VM is killed. */
async function endlessShutdown(trial: Trial): Promise<{ vm: Vm; job: ReturnType<Vm['stop']> }> {
  const { vm, guest } = await trial.runningVm()
  await guest.ignorePowerButton()
  return { vm, job: vm.stop() }
}

export const jobs: Cases = ({ host, promises }) => {
  promises('a job has its operation, its target and its start time', ['vm.start'], async (trial) => {
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
    'progress never falls, and ends at 100 if the job succeeds',
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

  promises('a wait that ends early leaves the job running', ['vm.stop', 'guest'], async (trial) => {
    const { vm, job } = await endlessShutdown(trial)
    await failureOf(job.wait({ timeoutMs: 20 }), 'WAIT_TIMEOUT')
    await failureOf(job.wait({ signal: AbortSignal.abort() }), 'WAIT_ABORTED')
    expect(job.status).toBe('running')
    await vm.stop({ mode: 'kill' }).unwrap()
    await job
    expect(job.status).toBe('finished')
  })

  promises(
    'operations beyond the limit wait in line, and one that is cancelled there is not sent',
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
    'simultaneous operations on one VM are done one after another or refused, and never harm it',
    ['vm.start', 'vm.stop', 'vm.pause', 'vm.resume', 'vm.suspend', 'vm.reset', 'vm.edit', 'vm.createSnapshot', 'guest'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      const log = trial.events({ vmId: vm.id })
      const attempts: (() => Job<unknown>)[] = [
        () => vm.start(),
        () => vm.start(),
        () => vm.pause(),
        () => vm.createSnapshot({ name: 'at once' }),
        () => vm.resume(),
        () => vm.suspend(),
        () => vm.edit({ description: 'at once' }),
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
    'another connection finds a long job, and it ends there as it ends here',
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
