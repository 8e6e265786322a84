import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Job, JobRef, VmNotFoundError, type Result, type VmError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { uncaughtIn } from '../../support/uncaught.js'
import { hostTask } from '../../../src/driver/host-task.js'

const target = { type: 'vm', id: '1', name: 'web-1' } as const
const notFound = (): VmNotFoundError => new VmNotFoundError({ reason: 'there is no such VM' })

describe('await', () => {
  test('every await gives the same Result object, before and after the end', async () => {
    const { job, succeed } = createJob<number>()
    const before = Promise.all([
      job,
      job,
      job.wait(),
      job.ref.wait(),
      job.then((result) => result),
      job.toResultAsync(),
    ])
    succeed(7)
    const results: unknown[] = [
      ...(await before),
      await job,
      await job.wait(),
      await job.wait({ timeoutMs: 1 }),
      job.result,
    ]
    expect(results.every((result) => result === job.result)).toBe(true)
    expect((await job).isOk()).toBe(true)
  })

  test('a failure fulfils with an Err, and never rejects', async () => {
    const { job, fail } = createJob<number, VmNotFoundError>()
    const error = notFound()
    fail(error)
    expect((await job)._unsafeUnwrapErr()).toBe(error)
  })

  test('a second outcome changes nothing', async () => {
    const { job, succeed, fail, progress } = createJob<number>()
    succeed(1)
    const first = await job
    succeed(2)
    fail(notFound())
    progress({ percent: 10 })
    expect(await job).toBe(first)
    expect(job.progress.percent).toBe(100)
  })

  test('a failure that nobody awaits raises no unhandled rejection', async () => {
    const errors = await uncaughtIn(async () => {
      const { job, fail } = createJob()
      job.onProgress(() => undefined)
      void job.then()
      void job.wait({ timeoutMs: 1000 })
      void job.toResultAsync()
      void job.cancel()
      fail(notFound())
      await job
    })
    expect(errors).toEqual([])
  })
})

describe('unwrap', () => {
  test('gives the value', async () => {
    const { job, succeed } = createJob<string>()
    succeed('value')
    expect(await job.unwrap()).toBe('value')
  })

  test('throws the very error', async () => {
    const { job, fail } = createJob()
    const error = notFound()
    fail(error)
    await expect(job.unwrap()).rejects.toBe(error)
  })
})

describe('what a job tells of itself', () => {
  test('while it runs', () => {
    const { job } = createJob({ target })
    expect(job).toMatchObject({ operation: 'vm.start', target, status: 'running', isCancelable: false })
    expect(job.progress).toEqual({ percent: 0 })
    expect([job.result, job.retCode, job.finishedAt, job.token]).toEqual([undefined, undefined, undefined, undefined])
    expect(job.startedAt).toBeInstanceOf(Date)
  })

  test('after success', () => {
    const { job, succeed } = createJob()
    succeed()
    expect(job).toMatchObject({ status: 'finished', retCode: 'SUCCESS', progress: { percent: 100 } })
    expect(job.finishedAt?.getTime()).toBeGreaterThanOrEqual(job.startedAt.getTime())
  })

  test('after failure, with the code, and with the progress that it had come to', () => {
    const { job, progress, fail } = createJob()
    progress({ percent: 40 })
    fail(notFound())
    expect(job).toMatchObject({ status: 'finished', retCode: 'VM_NOT_FOUND', progress: { percent: 40 } })
  })

  test('an id of its own', () => {
    const ids = Array.from({ length: 100 }, () => createJob().job.id)
    expect(new Set(ids).size).toBe(100)
    expect(ids[0]).toMatch(/^job-\d+$/)
  })

  test('the token that the host knows it by', () => {
    const { job, task } = createJob()
    task.setToken('task-7')
    expect(job.token).toBe('task-7')
    expect(job.ref.token).toBe('task-7')
  })

  test('on console.log', () => {
    const running = createJob({ target })
    running.progress({ percent: 41.6, phase: 'booting' })
    const done = createJob<number[]>({ target })
    done.succeed([1])
    const failed = createJob()
    failed.fail(notFound())
    const shown = [running.job, running.job.ref, done.job, failed.job].map((job) => inspect(job).replace(/-\d+/, '-N'))
    expect(shown).toMatchInlineSnapshot(`
      [
        "Job job-N vm.start "web-1" running 42 % (booting)",
        "JobRef job-N vm.start "web-1" running 42 % (booting)",
        "Job job-N vm.start "web-1" SUCCESS [ 1 ]",
        "Job job-N vm.start VM_NOT_FOUND",
      ]
    `)
  })
})

describe('ref', () => {
  test('survives await and return in async code', async () => {
    const { job, succeed } = createJob<string>()
    const begin = async (): Promise<JobRef<string>> => job.ref
    const ref = await begin()
    expect(ref).toBeInstanceOf(JobRef)
    expect(ref).not.toHaveProperty('then')
    expect(ref.status).toBe('running')
    succeed('done')
    expect(await ref.unwrap()).toBe('done')
  })

  test('is the same object each time, and the same job', () => {
    const { job } = createJob()
    expect(job.ref).toBe(job.ref)
    expect(job.ref.id).toBe(job.id)
    expect(job.ref).not.toBeInstanceOf(Job)
  })

  test('the job itself is unwrapped by async code, as every thenable is', async () => {
    const { job, succeed } = createJob<string>()
    succeed('done')
    const begin = async () => job
    const result: Result<string, VmError> = await begin()
    expect(result.isOk()).toBe(true)
  })
})

test('toResultAsync chains', async () => {
  const { job, succeed } = createJob<number>()
  const doubled = job.toResultAsync().map((value) => value * 2)
  succeed(21)
  expect((await doubled)._unsafeUnwrap()).toBe(42)
})

describe('status', () => {
  test('is unknown while the host can not be asked, and running again when it can', async () => {
    const { job, task, succeed } = createJob<string>()
    hostTask(task).setReachable(false)
    expect(job.status).toBe('unknown')
    expect(job.result).toBeUndefined()
    hostTask(task).setReachable(true)
    expect(job.status).toBe('running')
    hostTask(task).setReachable(false)
    succeed('done after all')
    expect(job.status).toBe('finished')
    hostTask(task).setReachable(false)
    expect(job.status).toBe('finished')
  })
})

describe('leaving the scope of await using', () => {
  test('cancels the job, and waits for its end', async () => {
    const { job, task, fail } = createJob()
    const { JobCancelledError } = await import('awaitvm')
    let wasAsked = false
    task.cancelWith(async (reason) => {
      wasAsked = true
      expect(reason).toBe('its scope was left')
      await setImmediate()
      fail(new JobCancelledError({ reason: 'stopped' }))
    })
    {
      await using _scoped = job
    }
    expect(wasAsked).toBe(true)
    expect(job.retCode).toBe('JOB_CANCELLED')
  })

  test('waits for a job that can not be cancelled', async () => {
    const { job, succeed } = createJob()
    const left = job[Symbol.asyncDispose]()
    succeed()
    await left
    expect(job.retCode).toBe('SUCCESS')
  })

  test('does nothing to one that has ended', async () => {
    const { job, succeed } = createJob()
    succeed()
    await job[Symbol.asyncDispose]()
    expect(job.retCode).toBe('SUCCESS')
  })
})
