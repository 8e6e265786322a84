import { once } from 'node:events'
import {
  ConnectionError,
  HostError,
  OutcomeUnknownError,
  TimeoutError,
  type OperationCode,
  type VmError,
} from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { HostWork, type Sending } from '../../../src/driver/host-work.js'
import type { Task } from '../../../src/driver/task.js'

const native = { driver: 'fake', message: 'x' }

interface Held<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

function held<T>(): Held<T> {
  let settle: Omit<Held<T>, 'promise'> | undefined
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }))
  return { promise, ...settle! }
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => expect.unreachable('it should fail'),
    (error: unknown) => error,
  )

/** A change whose host answers when `answer` is settled, and that is sent with `send`. */
function changed(work: HostWork, operation?: OperationCode) {
  const { job, task, fail } = createJob({ operation })
  const answer = held<string>()
  let sending: Sending | undefined
  const outcome = work.change(task, (given) => {
    sending = given
    return answer.promise
  })
  return { job, fail, answer, outcome, sending: sending! }
}

describe('work', () => {
  test('ends with what its action answers', async () => {
    const work = new HostWork()
    expect(await work.query(createJob().task, async () => 'queried')).toBe('queried')
    expect(await work.change(createJob().task, async () => 'changed')).toBe('changed')
    expect(await work.aside(async () => 'aside')).toBe('aside')
  })

  test('fails with the error as the driver explains it; the driver is given the task', async () => {
    const work = new HostWork(
      async (error, task) => new HostError({ native, reason: `${String(error)}, ${String(task?.operation)}` }),
    )
    const { task } = createJob({ operation: 'vm.pause' })
    expect(await failure(work.query(task, () => Promise.reject(new TypeError('x'))))).toMatchObject({
      code: 'HOST_ERROR',
      reason: 'TypeError: x, vm.pause',
    })
    expect(await failure(work.aside(() => Promise.reject(new TypeError('x'))))).toMatchObject({
      reason: 'TypeError: x, undefined',
    })
  })

  test('fails with the error itself if the driver explains none', async () => {
    const error = new HostError({ native, reason: 'x' })
    expect(await failure(new HostWork().query(createJob().task, () => Promise.reject(error)))).toBe(error)
  })
})

describe('a change', () => {
  test('can be cancelled until it is sent', async () => {
    const { job, answer, outcome, sending } = changed(new HostWork())
    const aborted = once(sending.signal, 'abort')
    void job.cancel('enough')
    await aborted
    expect(sending.send).toThrow('enough')
    answer.reject(sending.signal.reason)
    expect(await failure(outcome)).toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' })
  })

  test("can't be cancelled once it was sent, unless the driver offers more", async () => {
    const { job, answer, outcome, sending } = changed(new HostWork())
    sending.send()
    sending.send()
    expect((await job.cancel())._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
    expect(sending.signal.aborted).toBe(false)
    answer.resolve('done')
    expect(await outcome).toBe('done')
  })

  test('is not sent for a job that has ended', async () => {
    const { fail, answer, outcome, sending } = changed(new HostWork())
    fail(new TimeoutError({ reason: 'it took too long' }))
    expect(sending.signal.aborted).toBe(true)
    expect(sending.send).toThrow()
    answer.reject(sending.signal.reason)
    expect(await failure(outcome)).toBe(sending.signal.reason)
  })
})

describe('a close', () => {
  test('waits for what is under way, and aborts `closing`', async () => {
    const work = new HostWork()
    const answers = [held<string>(), held<string>()]
    const outcomes = [work.query(createJob().task, () => answers[0]!.promise), work.aside(() => answers[1]!.promise)]
    expect(work.isClosed).toBe(false)
    let hasClosed = false
    const closing = work.close().then(() => (hasClosed = true))
    expect(work.isClosed).toBe(true)
    expect(work.closing.aborted).toBe(true)
    answers[0]!.resolve('one')
    expect(await outcomes[0]).toBe('one')
    expect(hasClosed).toBe(false)
    answers[1]!.resolve('two')
    await closing
  })

  test('refuses more work, without a call of its action', async () => {
    const work = new HostWork()
    await work.close()
    const action = (): Promise<never> => expect.unreachable('it should not be called')
    const calls = [work.query(createJob().task, action), work.change(createJob().task, action), work.aside(action)]
    for (const call of calls) expect(await failure(call)).toMatchObject({ code: 'CONNECTION_FAILED', retryable: false })
  })

  test('ends a change that was not sent with CONNECTION_FAILED', async () => {
    const work = new HostWork()
    const { answer, outcome, sending } = changed(work)
    const closing = work.close()
    expect(sending.send).toThrow('the server was closed')
    answer.reject(sending.signal.reason)
    const error = await failure(outcome)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ retryable: false, hint: 'Connect again with connect().' })
    await closing
  })

  test('ends a change that was sent and fails with OUTCOME_UNKNOWN, with the failure as its cause', async () => {
    const work = new HostWork(() => expect.unreachable('it should not be explained'))
    const { answer, outcome, sending } = changed(work)
    sending.send()
    const closing = work.close()
    expect(sending.signal.aborted).toBe(false)
    const cause = new Error('the socket was destroyed')
    answer.reject(cause)
    const error = await failure(outcome)
    expect(error).toBeInstanceOf(OutcomeUnknownError)
    expect(error).toMatchObject({ reason: 'the server was closed', cause })
    await closing
  })

  test('ends a query that fails with CONNECTION_FAILED', async () => {
    const work = new HostWork()
    const answer = held<string>()
    const outcome = work.query(createJob().task, () => answer.promise)
    const closing = work.close()
    answer.reject(new Error('the socket was destroyed'))
    expect(await failure(outcome)).toMatchObject({ code: 'CONNECTION_FAILED', reason: 'the server was closed' })
    await closing
  })

  test('ends an operation that changes nothing with CONNECTION_FAILED, also after it was sent', async () => {
    const work = new HostWork()
    const { answer, outcome, sending } = changed(work, 'vm.screenshot')
    sending.send()
    const closing = work.close()
    answer.reject(new Error('the socket was destroyed'))
    expect(await failure(outcome)).toMatchObject({ code: 'CONNECTION_FAILED', reason: 'the server was closed' })
    await closing
  })

  test('ends a change that counted as sent from its start with OUTCOME_UNKNOWN', async () => {
    const work = new HostWork()
    const answer = held<string>()
    const outcome = work.sent(createJob().task, () => answer.promise)
    const closing = work.close()
    answer.reject(new Error('the socket was destroyed'))
    expect(await failure(outcome)).toMatchObject({ code: 'OUTCOME_UNKNOWN', reason: 'the server was closed' })
    await closing
    expect(
      await failure(work.sent(createJob().task, () => expect.unreachable('it should not be called'))),
    ).toMatchObject({ code: 'CONNECTION_FAILED' })
  })

  test('leaves a success as it is, and an OutcomeUnknownError of the driver', async () => {
    const work = new HostWork()
    const [first, second] = [changed(work), changed(work)]
    for (const { sending } of [first, second]) sending.send()
    const closing = work.close()
    first.answer.resolve('done')
    expect(await first.outcome).toBe('done')
    const error: VmError = new OutcomeUnknownError({ reason: 'the program may run on' })
    second.answer.reject(error)
    expect(await failure(second.outcome)).toBe(error)
    await closing
  })
})

test('a task that awaitvm did not make is refused by name', () => {
  const task: Task = {
    operation: 'vm.start',
    target: undefined,
    signal: new AbortController().signal,
    progress: () => undefined,
    cancelWith: () => () => undefined,
    setToken: () => undefined,
  }
  expect(() => new HostWork().change(task, () => expect.unreachable('it should not be called'))).toThrow(
    'The task was not made by awaitvm',
  )
})
