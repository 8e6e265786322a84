import { createJob, type JobInHand } from 'awaitvm/testing'
import { expect, test, vi } from 'vitest'
import {
  FollowedJob,
  FollowedJobs,
  type HostJobListener,
  type HostJobSource,
} from '../../../src/driver/followed-job.js'
import { JobCancelledError, OutcomeUnknownError, ProtocolError } from '../../../src/errors.js'
import type { VmError } from '../../../src/vm-error.js'

/** A job on a host that the test works on itself. */
function hostJob({ isCancelable = true, token }: { isCancelable?: boolean; token?: string } = {}) {
  const listeners = new Set<HostJobListener>()
  let succeed: (value: string) => void = () => undefined
  let fail: (error: VmError) => void = () => undefined
  const outcome = new Promise<string>((resolve, reject) => {
    succeed = resolve
    fail = reject
  })
  const cancel = vi.fn<(reason: string | undefined) => boolean>(() => true)
  const source: HostJobSource<string> = {
    outcome,
    isCancelable,
    cancel,
    listen(listener) {
      if (token !== undefined) listener.onToken?.(token)
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
  const tell = (news: (listener: HostJobListener) => void): void => {
    for (const listener of listeners) news(listener)
  }
  return { source, listeners, cancel, succeed, fail, tell }
}

/** Ends the job as the followed one ends, as the driver's caller does. */
function passOn<T>({ succeed, fail }: JobInHand<T, VmError>, outcome: Promise<T>): void {
  outcome.then(succeed, fail)
}

const gone = (): OutcomeUnknownError => new OutcomeUnknownError({ reason: 'the host is gone' })

test('token, progress and value of the host become those of the job', async () => {
  const { source, tell, succeed } = hostJob({ token: 'task-7' })
  const inHand = createJob<string>()
  passOn(inHand, new FollowedJob(source, inHand.task).outcome)
  expect(inHand.job.token).toBe('task-7')
  tell((listener) => {
    listener.onProgress({ percent: 40, phase: 'copying' })
  })
  expect(inHand.job.progress).toMatchObject({ percent: 40, phase: 'copying' })
  succeed('done')
  expect((await inHand.job)._unsafeUnwrap()).toBe('done')
})

test('the host is asked to stop, and its refusal is the verdict', async () => {
  const { source, cancel } = hostJob()
  cancel.mockReturnValue(false)
  const { job, task } = createJob<string>()
  new FollowedJob(source, task)
  expect((await job.cancel('enough'))._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
  expect(cancel).toHaveBeenCalledExactlyOnceWith('enough')
})

test('a job that the host can not stop is not cancelable', () => {
  const { job, task } = createJob<string>()
  new FollowedJob(hostJob({ isCancelable: false }).source, task)
  expect(job.isCancelable).toBe(false)
})

test('a job that another client cancelled ends as cancelled', async () => {
  const { source, tell, fail } = hostJob()
  const inHand = createJob<string>()
  passOn(inHand, new FollowedJob(source, inHand.task).outcome)
  tell((listener) => {
    listener.onCancel('the other one wants it so')
  })
  fail(new JobCancelledError({ reason: 'task aborted' }))
  expect((await inHand.job)._unsafeUnwrapErr()).toMatchObject({
    code: 'JOB_CANCELLED',
    reason: 'the other one wants it so',
  })
})

test('while the connection is lost, the status is unknown, progress stands still and a cancel is refused', async () => {
  const { source, tell, cancel } = hostJob()
  const { job, task } = createJob<string>()
  const followed = new FollowedJob(source, task)
  followed.lose()
  expect(job.status).toBe('unknown')
  tell((listener) => {
    listener.onProgress({ percent: 40 })
  })
  expect(job.progress.percent).toBe(0)
  const refusal = (await job.cancel())._unsafeUnwrapErr()
  expect(refusal).toMatchObject({ code: 'JOB_NOT_CANCELABLE', cause: { code: 'CONNECTION_FAILED' } })
  expect(cancel).not.toHaveBeenCalled()
  followed.regain()
  expect(job.status).toBe('running')
  tell((listener) => {
    listener.onProgress({ percent: 60 })
  })
  expect(job.progress.percent).toBe(60)
})

test('an outcome that arrives while the connection is lost is told once it is back', async () => {
  const { source, fail } = hostJob()
  const inHand = createJob<string>()
  const followed = new FollowedJob(source, inHand.task)
  passOn(inHand, followed.outcome)
  followed.lose()
  fail(new ProtocolError({ reason: 'the answer is cut off' }))
  await expect(source.outcome).rejects.toThrow('the answer is cut off')
  expect(inHand.job.status).toBe('unknown')
  followed.regain()
  expect((await inHand.job)._unsafeUnwrapErr()).toMatchObject({
    code: 'PROTOCOL_ERROR',
    reason: 'the answer is cut off',
  })
})

test('a job that is given up ends with that error, and listens no more', async () => {
  const { source, listeners, succeed } = hostJob()
  const inHand = createJob<string>()
  const followed = new FollowedJob(source, inHand.task)
  passOn(inHand, followed.outcome)
  expect(listeners.size).toBe(1)
  followed.lose()
  followed.giveUp(gone())
  succeed('too late')
  expect((await inHand.job)._unsafeUnwrapErr()).toMatchObject({ code: 'OUTCOME_UNKNOWN', reason: 'the host is gone' })
  expect(listeners.size).toBe(0)
  expect(inHand.job.isCancelable).toBe(false)
})

test('once a job has ended, the connection does not matter to it', async () => {
  const { source, listeners, succeed } = hostJob()
  const { job, task } = createJob<string>()
  const followed = new FollowedJob(source, task)
  succeed('done')
  await expect(followed.outcome).resolves.toBe('done')
  expect(listeners.size).toBe(0)
  followed.lose()
  followed.giveUp(gone())
  expect(job.status).toBe('running')
  await expect(followed.outcome).resolves.toBe('done')
})

test('the jobs of a connection lose it together, and those that are over are not kept', async () => {
  const jobs = new FollowedJobs()
  const [first, second] = [hostJob(), hostJob()]
  const [one, two] = [createJob<string>(), createJob<string>()]
  passOn(one, jobs.follow(first.source, one.task))
  passOn(two, jobs.follow(second.source, two.task))
  first.succeed('first')
  expect((await one.job)._unsafeUnwrap()).toBe('first')
  jobs.lose()
  expect(two.job.status).toBe('unknown')
  jobs.regain()
  expect(two.job.status).toBe('running')
  jobs.giveUp(gone)
  expect((await two.job)._unsafeUnwrapErr().code).toBe('OUTCOME_UNKNOWN')
  expect(second.listeners.size).toBe(0)
})
