import { getEventListeners } from 'node:events'
import { err, Job, JobCancelledError, ok, OutcomeUnknownError, VmNotFoundError, type VmError } from 'awaitvm'
import { createJob, type JobInHand } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'
import { collectUntil } from '../../support/garbage-collection.js'

const stopped = (): JobCancelledError => new JobCancelledError({ reason: 'stopped' })
const jobsOf = (members: readonly JobInHand<unknown, VmError>[]): Job<unknown>[] => members.map(({ job }) => job)

function stoppable(): JobInHand<void, VmError> {
  const member = createJob()
  member.task.cancelWith(() => member.fail(stopped()))
  return member
}

test('gives the values in the order of the list, not of the ends', async () => {
  const [first, second, third] = [createJob<number>(), createJob<string>(), createJob<boolean>()]
  const all = Job.all([first.job, second.job, third.job])
  third.succeed(true)
  first.succeed(1)
  expect(all.status).toBe('running')
  second.succeed('two')
  expect(await all.unwrap()).toEqual([1, 'two', true])
})

test('gives the first error at once; the others go on', async () => {
  const members = [createJob(), createJob(), createJob()]
  const all = Job.all(jobsOf(members))
  const error = new VmNotFoundError({ reason: 'gone' })
  members[2]?.fail(error)
  expect((await all)._unsafeUnwrapErr()).toBe(error)
  expect(error.operation).toBe('vm.start')
  members[0]?.fail(new VmNotFoundError({ reason: 'too late' }))
  expect((await all)._unsafeUnwrapErr()).toBe(error)
  expect(members[1]?.job.status).toBe('running')
})

test('an outcome that is unknown is unknown of the whole', async () => {
  const member = createJob()
  const all = Job.all([member.job])
  member.fail(new OutcomeUnknownError({ reason: 'the connection broke' }))
  await all
  expect(all.status).toBe('unknown')
})

test('of nothing has succeeded', () => {
  const all = Job.all([])
  expect(all.retCode).toBe('SUCCESS')
  expect(all.result?._unsafeUnwrap()).toEqual([])
})

test('of jobs that have ended has ended, with JobRefs among them', () => {
  const first = createJob<number>()
  const second = createJob<number>()
  first.succeed(1)
  second.succeed(2)
  expect(Job.all([first.job.ref, second.job]).result?._unsafeUnwrap()).toEqual([1, 2])
})

test('of jobs that have ended, one with an error, fails', () => {
  const [first, second, third] = [createJob(), createJob(), createJob()]
  first.succeed()
  second.fail(new VmNotFoundError({ reason: 'gone' }))
  expect(Job.all([third.job, first.job, second.job]).retCode).toBe('VM_NOT_FOUND')
})

test('the same job twice counts twice', async () => {
  const { job, succeed } = createJob<number>()
  const all = Job.all([job, job])
  succeed(4)
  expect(await all.unwrap()).toEqual([4, 4])
})

test('progress is the mean of theirs, and tells how many are done', async () => {
  const members = [createJob(), createJob(), createJob(), createJob()]
  members[3]?.succeed()
  members[0]?.progress({ percent: 20 })
  const all = Job.all(jobsOf(members))
  expect(all.progress).toEqual({ percent: 30, done: 1, total: 4, unit: 'jobs' })
  const seen: unknown[] = []
  all.onProgress(({ percent, done }) => seen.push([percent, done]))
  members[0]?.progress({ percent: 60 })
  members[1]?.succeed()
  members[0]?.succeed()
  members[2]?.succeed()
  expect(seen.slice(0, 1)).toEqual([[40, 1]])
  expect(seen).toContainEqual([65, 2])
  expect(all.progress).toEqual({ percent: 100, done: 4, total: 4, unit: 'jobs' })
})

describe('cancel', () => {
  test('cancels those that still run', async () => {
    const members = [stoppable(), stoppable(), createJob()]
    members[2]?.succeed()
    const all = Job.all(jobsOf(members))
    expect((await all.cancel('not needed')).isOk()).toBe(true)
    expect((await all)._unsafeUnwrapErr().message).toBe('Cannot finish all jobs: not needed.')
    expect(members.map(({ job }) => job.retCode)).toEqual(['JOB_CANCELLED', 'JOB_CANCELLED', 'SUCCESS'])
  })

  test('does not claim success while one of them goes on', async () => {
    const members = [stoppable(), createJob()]
    const all = Job.all(jobsOf(members))
    expect((await all.cancel())._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
    expect(members[0]?.job.retCode).toBe('JOB_CANCELLED')
    expect(all.status).toBe('running')
    members[1]?.succeed()
    expect((await all)._unsafeUnwrapErr().code).toBe('JOB_CANCELLED')
  })

  test('by leaving its scope', async () => {
    const member = stoppable()
    {
      await using _all = Job.all([member.job])
    }
    expect(member.job.retCode).toBe('JOB_CANCELLED')
  })
})

describe('any', () => {
  test('is the first value, also after failures', async () => {
    const members = [createJob<number>(), createJob<number>(), createJob<number>()]
    const any = Job.any(members.map(({ job }) => job))
    members[1]?.fail(new VmNotFoundError({ reason: 'gone' }))
    expect(any.status).toBe('running')
    members[2]?.succeed(3)
    expect(await any.unwrap()).toBe(3)
    expect(members[0]?.job.status).toBe('running')
  })

  test('is the error of the first in the list if all fail', async () => {
    const members = [createJob(), createJob()]
    const any = Job.any(jobsOf(members))
    members[1]?.fail(new VmNotFoundError({ reason: 'second' }))
    members[0]?.fail(new VmNotFoundError({ reason: 'first' }))
    expect((await any)._unsafeUnwrapErr().reason).toBe('first')
  })

  test('has come as far as the one that is farthest', () => {
    const members = [createJob(), createJob()]
    const any = Job.any(jobsOf(members))
    members[0]?.progress({ percent: 70 })
    members[1]?.progress({ percent: 40 })
    expect(any.progress).toEqual({ percent: 70, done: 0, total: 2, unit: 'jobs' })
  })
})

describe('race', () => {
  test('is the first outcome', async () => {
    const members = [createJob(), createJob()]
    const race = Job.race(jobsOf(members))
    const error = new VmNotFoundError({ reason: 'gone' })
    members[1]?.fail(error)
    expect((await race)._unsafeUnwrapErr()).toBe(error)
    const ended = createJob<string>()
    ended.succeed('there already')
    expect(await Job.race([createJob().job, ended.job]).unwrap()).toBe('there already')
  })

  test('does not claim to be cancelled while one of them goes on', async () => {
    const members = [stoppable(), createJob()]
    const race = Job.race(jobsOf(members))
    expect((await race.cancel())._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
    expect(race.status).toBe('running')
    members[1]?.succeed()
    expect((await race)._unsafeUnwrapErr().code).toBe('JOB_CANCELLED')
  })
})

describe('settled', () => {
  test('is the Result of each, in order, and fails for none of them', async () => {
    const members = [createJob<number>(), createJob<number>()]
    const settled = Job.settled(members.map(({ job }) => job))
    const error = new VmNotFoundError({ reason: 'gone' })
    members[1]?.fail(error)
    expect(settled.progress).toEqual({ percent: 0, done: 1, total: 2, unit: 'jobs' })
    members[0]?.succeed(1)
    expect(await settled.unwrap()).toEqual([ok(1), err(error)])
    expect(settled.retCode).toBe('SUCCESS')
    expect(await Job.settled([]).unwrap()).toEqual([])
  })

  test('that was cancelled says so, and has what had been done', async () => {
    const members = [stoppable(), stoppable()]
    members[0]?.succeed()
    const settled = Job.settled(jobsOf(members))
    expect((await settled.cancel()).isOk()).toBe(true)
    expect((await settled.unwrap()).map((result) => result.isOk())).toEqual([true, false])
  })
})

test.for(['any', 'race'] as const)('Job.%s of nothing would never end, and is refused', (name) => {
  expect(Job[name]([]).result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'jobs' })
})

test.for(['all', 'any', 'race', 'settled'] as const)('Job.%s leaves no listener on jobs that go on', async (name) => {
  const long = createJob()
  const isCollected = await (async () => {
    let isGone = false
    const registry = new FinalizationRegistry(() => (isGone = true))
    await (async () => {
      const quick = createJob()
      const group = Job[name]([long.job, quick.job])
      registry.register(group, undefined)
      if (name === 'any') quick.succeed()
      else quick.fail(new VmNotFoundError({ reason: 'gone' }))
      if (name === 'settled') {
        // It listens until the last has ended.
        const other = Job[name]([quick.job])
        registry.register(other, undefined)
        await other
      } else await group
    })()
    return await collectUntil(() => isGone)
  })()
  expect(isCollected).toBe(true)
  long.succeed()
})

test('takes members that share a signal', async () => {
  const controller = new AbortController()
  const members = Array.from({ length: 10 }, () => createJob({ signal: controller.signal }))
  const all = Job.all(jobsOf(members))
  for (const { succeed } of members) succeed(undefined)
  await all
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
})

test('a failure that nobody looks at is found as the failure of the whole', async () => {
  const failures: unknown[] = []
  const { driver, server, vm } = await fakeServer(
    {},
    { onUnobservedFailure: ({ operation }) => failures.push(operation) },
  )
  const all = Job.all([vm.start()])
  const ended = new Promise<void>((resolve) => {
    void vm.getState().then(() => resolve())
  })
  driver.calls[0]?.fail(new VmNotFoundError({ reason: 'gone' }))
  driver.calls[1]?.succeed('stopped')
  await ended
  await server.close()
  expect(failures).toEqual(['job.all'])
  expect(all.retCode).toBe('VM_NOT_FOUND')
})

test.for([null, 5, 'jobs', {}, [1], [createJob().job, null], [{ then: () => undefined }]])('%o are no jobs', (jobs) => {
  const all = Job.all(jobs as never)
  expect(all.result?._unsafeUnwrapErr()).toMatchObject({
    code: 'INVALID_ARGUMENT',
    path: 'jobs',
    message: 'Cannot finish all jobs: jobs must be an array of jobs.',
  })
})

test('an array that can’t be read is refused', () => {
  const { proxy, revoke } = Proxy.revocable([], {})
  revoke()
  expect(Job.all(proxy).retCode).toBe('INVALID_ARGUMENT')
})
