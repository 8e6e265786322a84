import { JobCancelledError, OutcomeUnknownError, ResourceBusyError, type Job } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'

const target = { type: 'vm', id: '1', name: 'web-1' } as const
const stopped = (): JobCancelledError => new JobCancelledError({ reason: 'the host stopped it' })
const codeOf = async (job: Job<unknown>): Promise<string | undefined> => {
  await job
  return job.retCode
}

describe('an operation that can be stopped', () => {
  test('ends with JobCancelledError once its host has confirmed it, and cancel succeeds only then', async () => {
    const { job, task, fail } = createJob({ target })
    task.cancelWith(() => undefined)
    expect(job.isCancelable).toBe(true)
    const cancelling = job.cancel('it is not needed')
    await Promise.resolve()
    expect([job.result, cancelling.result]).toEqual([undefined, undefined])
    fail(stopped())
    expect(await codeOf(cancelling)).toBe('SUCCESS')
    expect(job.retCode).toBe('JOB_CANCELLED')
    expect((await job)._unsafeUnwrapErr().message).toBe('Cannot start VM "web-1": it is not needed.')
  })

  test('is asked by its signal', async () => {
    const { job, task, fail } = createJob()
    task.signal.addEventListener('abort', () => fail(stopped()))
    expect(await codeOf(job.cancel('enough'))).toBe('SUCCESS')
    expect(task.signal.reason).toMatchObject({ name: 'AbortError', message: 'enough' })
  })

  test('keeps what its host said', async () => {
    const { job, task, fail } = createJob()
    const cause = new Error('of the host')
    const native = { driver: 'fake', code: 9, message: 'operation aborted' }
    task.cancelWith(() => fail(new JobCancelledError({ reason: 'stopped', native, cause })))
    await job.cancel()
    const error = (await job)._unsafeUnwrapErr()
    expect(error.native).toEqual(native)
    expect(error.cause).toBe(cause)
  })

  test('may end faster than it is stopped: then cancel says so', async () => {
    const { job, task, succeed } = createJob({ target })
    task.cancelWith(() => undefined)
    const cancelling = job.cancel()
    succeed()
    expect(await codeOf(cancelling)).toBe('JOB_FINISHED')
    expect((await cancelling)._unsafeUnwrapErr().message).toMatchInlineSnapshot(
      `"Cannot cancel a job on VM "web-1": vm.start had already finished."`,
    )
    expect(job.retCode).toBe('SUCCESS')
  })

  test('may fail instead: then cancel says that it has finished', async () => {
    const { job, task, fail } = createJob()
    task.cancelWith(() => undefined)
    const cancelling = job.cancel()
    fail(new ResourceBusyError({ reason: 'it is locked' }))
    expect(await codeOf(cancelling)).toBe('JOB_FINISHED')
    expect(job.retCode).toBe('RESOURCE_BUSY')
  })

  test('may be lost: then cancel does not claim anything', async () => {
    const { job, task, fail } = createJob()
    task.cancelWith(() => undefined)
    const cancelling = job.cancel()
    fail(new OutcomeUnknownError({ reason: 'the connection broke' }))
    expect((await cancelling)._unsafeUnwrapErr()).toMatchObject({
      code: 'JOB_NOT_CANCELABLE',
      message:
        'Cannot cancel a job: nobody can say whether vm.start was stopped. Ask for the state of the VM: it may have taken place.',
    })
    expect(job.status).toBe('unknown')
  })

  test('is asked once by several requests at the same time', async () => {
    const { job, task, fail } = createJob()
    let asked = 0
    task.cancelWith(async () => {
      asked += 1
      await Promise.resolve()
      fail(stopped())
    })
    const requests = [job.cancel('first'), job.cancel('second'), job.ref.cancel('third')]
    expect(await Promise.all(requests.map(codeOf))).toEqual(['SUCCESS', 'SUCCESS', 'SUCCESS'])
    expect(asked).toBe(1)
    expect((await job)._unsafeUnwrapErr().reason).toBe('first')
  })

  test('is not asked again once it has taken the request', async () => {
    const { job, task, fail } = createJob()
    let asked = 0
    task.cancelWith(() => {
      asked += 1
    })
    const first = job.cancel()
    await Promise.resolve()
    const second = job.cancel()
    fail(stopped())
    expect(await Promise.all([codeOf(first), codeOf(second)])).toEqual(['SUCCESS', 'SUCCESS'])
    expect(asked).toBe(1)
  })

  test('an end answers a request that the host never does', async () => {
    const { job, task, succeed } = createJob()
    task.cancelWith(() => new Promise<never>(() => undefined))
    const cancelling = job.cancel()
    succeed()
    expect(await codeOf(cancelling)).toBe('JOB_FINISHED')
  })

  test('work that touches the signal after the request finds it aborted', async () => {
    const { job, task, fail } = createJob()
    let taken: () => void = () => undefined
    const asked = new Promise<void>((resolve) => (taken = resolve))
    task.cancelWith(() => {
      taken()
    })
    const cancelling = job.cancel()
    await asked
    await new Promise(setImmediate)
    expect(task.signal.aborted).toBe(true)
    fail(stopped())
    expect(await codeOf(cancelling)).toBe('SUCCESS')
  })
})

describe('an operation that can not be stopped', () => {
  test('goes on, and cancel says so', async () => {
    const { job, succeed } = createJob({ target })
    expect(job.isCancelable).toBe(false)
    const error = (await job.cancel())._unsafeUnwrapErr()
    expect(error.code).toBe('JOB_NOT_CANCELABLE')
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot cancel a job on VM "web-1": vm.start can't be cancelled. The job goes on: await it."`,
    )
    succeed()
    expect((await job).isOk()).toBe(true)
  })

  test('refuses with false', async () => {
    const { job, task, succeed } = createJob()
    task.cancelWith(() => false)
    expect(await codeOf(job.cancel())).toBe('JOB_NOT_CANCELABLE')
    expect(job.status).toBe('running')
    succeed()
    expect(job.retCode).toBe('SUCCESS')
  })

  test.for([true, false])('refuses with an error, at once or later', async (isLater) => {
    const { job, task } = createJob()
    const cause = new Error('it is past the point of no return')
    task.cancelWith(() => {
      if (isLater) return Promise.reject(cause)
      throw cause
    })
    const error = (await job.cancel())._unsafeUnwrapErr()
    expect(error.code).toBe('JOB_NOT_CANCELABLE')
    expect(error.cause).toBe(cause)
    expect(error.message).toContain('past the point of no return')
  })

  test('refuses at first, and is asked again by a later request', async () => {
    const { job, task, fail } = createJob()
    const answers = [false, undefined]
    const reasons: (string | undefined)[] = []
    task.cancelWith((reason) => {
      reasons.push(reason)
      const answer = answers.shift()
      if (answer !== false) fail(stopped())
      return answer
    })
    expect(await codeOf(job.cancel('one'))).toBe('JOB_NOT_CANCELABLE')
    expect(await codeOf(job.cancel('two'))).toBe('SUCCESS')
    expect(reasons).toEqual(['one', 'two'])
    expect((await job)._unsafeUnwrapErr().reason).toBe('two')
  })

  test('two requests at once are refused by one answer', async () => {
    const { job, task } = createJob()
    let asked = 0
    task.cancelWith(async () => {
      asked += 1
      return false
    })
    const codes = await Promise.all([codeOf(job.cancel()), codeOf(job.cancel())])
    expect(codes).toEqual(['JOB_NOT_CANCELABLE', 'JOB_NOT_CANCELABLE'])
    expect(asked).toBe(1)
  })

  test('refuses, but was stopped while it was asked', async () => {
    const { job, task, fail } = createJob()
    task.cancelWith(() => {
      fail(stopped())
      return false
    })
    expect(await codeOf(job.cancel())).toBe('SUCCESS')
  })

  test('a refusal that was too late for another request does not take that one its wording', async () => {
    const { job, task, fail } = createJob()
    const answers: ((answer: boolean) => void)[] = []
    task.cancelWith(() => new Promise((resolve) => answers.push(resolve)))
    const first = job.cancel('first')
    const joined = job.cancel('joined')
    answers[0]?.(false)
    await first
    const last = job.cancel('last')
    await joined
    answers[1]?.(true)
    fail(stopped())
    expect(await codeOf(last)).toBe('SUCCESS')
    expect((await job)._unsafeUnwrapErr().reason).toBe('last')
  })

  test('a handler can be taken away', async () => {
    const { job, task } = createJob()
    const remove = task.cancelWith(() => undefined)
    remove()
    expect(job.isCancelable).toBe(false)
    expect(await codeOf(job.cancel())).toBe('JOB_NOT_CANCELABLE')
  })
})

describe('a handler that comes after the request', () => {
  test('is asked at once, and can stop the operation', async () => {
    const { job, task, fail } = createJob()
    expect(task.signal.aborted).toBe(false)
    const cancelling = job.cancel('too late for the signal')
    await new Promise(setImmediate)
    expect(task.signal.aborted).toBe(true)
    task.cancelWith((reason) => fail(new JobCancelledError({ reason: reason ?? '' })))
    expect(await codeOf(cancelling)).toBe('SUCCESS')
    expect(job.retCode).toBe('JOB_CANCELLED')
  })

  test('can still refuse, and a later request asks it again', async () => {
    const { job, task, fail } = createJob()
    expect(task.signal.aborted).toBe(false)
    const cancelling = job.cancel()
    await new Promise(setImmediate)
    let canStop = false
    task.cancelWith(() => {
      if (canStop) fail(stopped())
      return canStop
    })
    expect(await codeOf(cancelling)).toBe('JOB_NOT_CANCELABLE')
    expect(job.status).toBe('running')
    canStop = true
    expect(await codeOf(job.cancel())).toBe('SUCCESS')
  })
})

describe('a job that has ended', () => {
  test('says so', async () => {
    const { job, task, succeed } = createJob()
    task.cancelWith(() => undefined)
    succeed()
    expect(job.isCancelable).toBe(false)
    expect(await codeOf(job.cancel())).toBe('JOB_FINISHED')
    expect(await codeOf(job.cancel())).toBe('JOB_FINISHED')
  })
})

describe('a job in line', () => {
  test('is taken out at once, and nothing is sent', async () => {
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    const first = vm.start()
    const second = vm.pause()
    expect(second.isCancelable).toBe(true)
    expect(await codeOf(second.cancel())).toBe('SUCCESS')
    expect(second.retCode).toBe('JOB_CANCELLED')
    driver.last.succeed('running')
    await first
    expect(driver.operationsCalled).toEqual(['vm.start'])
  })
})

test.for([Symbol('reason'), 5, null, {}, ''])('%o is no reason, and does no harm', async (reason) => {
  const { job, task, fail } = createJob()
  task.cancelWith(() => fail(stopped()))
  expect(await codeOf(job.cancel(reason as never))).toBe('SUCCESS')
  expect((await job)._unsafeUnwrapErr().reason).toBe('the caller cancelled it')
})
