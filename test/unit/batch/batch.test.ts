import { batch, err, ok, ResourceBusyError, VmNotFoundError, type BatchJob, type Progress, type Result } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { ItemsInHand } from '../../support/items-in-hand.js'

const unreadable = {
  get done(): never {
    throw new Error('not now')
  },
}
const gone = (): VmNotFoundError => new VmNotFoundError({ reason: 'gone' })
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test('runs a limited number of items at a time, in the order of the list', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(5), hands.begin, { concurrency: 2 })
  expect(hands.started).toEqual([0, 1])
  expect(job.status).toBe('running')
  hands.of(1).succeed()
  await turn()
  expect(hands.started).toEqual([0, 1, 2])
  hands.of(0).succeed()
  hands.of(2).succeed()
  await turn()
  hands.of(3).succeed()
  hands.of(4).succeed()
  const report = await job.unwrap()
  expect(report.isSuccess).toBe(true)
  expect(report.stopped).toBeUndefined()
  expect(report.counts).toEqual({ queued: 0, running: 0, succeeded: 5, failed: 0, cancelled: 0 })
  expect(job.retCode).toBe('SUCCESS')
})

test('the report has the outcomes in the order of the list, not of completion', async () => {
  const hands = new ItemsInHand<string, number>()
  const job = batch(['a', 'b', 'c'], hands.begin)
  const error = gone()
  hands.of('c').succeed(3)
  await turn()
  hands.of('a').succeed(1)
  hands.of('b').fail(error)
  const report = await job.unwrap()
  expect(report.outcomes).toEqual([
    { index: 0, item: 'a', jobId: hands.of('a').job.id, result: ok(1), attempts: 1 },
    { index: 1, item: 'b', jobId: hands.of('b').job.id, result: err(error), attempts: 1 },
    { index: 2, item: 'c', jobId: hands.of('c').job.id, result: ok(3), attempts: 1 },
  ])
  expect(report.succeeded.map(({ result }) => result.value)).toEqual([1, 3])
  expect(report.failed.map(({ item, result }) => [item, result.error])).toEqual([['b', error]])
  expect(report.cancelled).toEqual([])
  expect(report.isSuccess).toBe(false)
})

test('a failure of an item does not fail the batch, and stops nothing', async () => {
  const report = await batch(upTo(4), (item) => {
    const { job, succeed, fail } = createJob()
    if (item % 2 === 0) succeed()
    else fail(gone())
    return job
  }).unwrap()
  expect(report.counts).toMatchObject({ succeeded: 2, failed: 2 })
})

test('an empty list ends at once', async () => {
  const job = batch([], () => createJob().job)
  expect(job.retCode).toBe('SUCCESS')
  expect(job.result?._unsafeUnwrap().outcomes).toEqual([])
  expect(job.progress.percent).toBe(100)
  expect((await job.unwrap()).isSuccess).toBe(true)
})

describe('the list', () => {
  const done = (): ReturnType<typeof createJob>['job'] => {
    const { job, succeed } = createJob()
    succeed()
    return job
  }

  test.for<[string, () => Iterable<number> | AsyncIterable<number>]>([
    ['an array', () => upTo(300)],
    ['a set', () => new Set(upTo(300))],
    ['a generator', () => upTo(300)[Symbol.iterator]()],
    [
      'an asynchronous generator',
      async function* () {
        for (const item of upTo(300)) {
          if (item % 7 === 0) await turn()
          yield item
        }
      },
    ],
  ])('may be %s', async ([, list]) => {
    const report = await batch(list(), done, { concurrency: 4 }).unwrap()
    expect(report.outcomes.map(({ item }) => item)).toEqual(upTo(300))
    expect(report.isSuccess).toBe(true)
  })

  test('may grow while it is read', async () => {
    const list = [1]
    const seen: Progress[] = []
    const grow = async (item: number) => {
      if (item < 9) list.push(item + 1)
      await turn()
      return ok()
    }
    const job = batch(list, grow, { concurrency: 1, onProgress: (progress) => seen.push(progress) })
    expect((await job.unwrap()).counts.succeeded).toBe(9)
    expect(seen.filter(({ done = 0, total = 0 }) => done > total)).toEqual([])

    const hands = new ItemsInHand<number>()
    const more = [1, 2, 3]
    const stopped = batch(more, hands.begin, { concurrency: 1 })
    more.push(4)
    await stopped.cancel()
    expect((await stopped.unwrap()).outcomes.map(({ item }) => item)).toEqual([1, 2, 3, 4])
  })

  test('is read as places become free', async () => {
    let taken = 0
    const list = function* () {
      for (;;) yield (taken += 1)
    }
    const hands = new ItemsInHand<number>()
    const job = batch(list(), hands.begin, { concurrency: 3 })
    expect(hands.started).toEqual([1, 2, 3])
    expect(taken).toBe(6)
    hands.of(2).succeed()
    await turn()
    expect(taken).toBe(7)
    await job.cancel()
    expect(taken).toBe(7)
  })

  test('is closed when the batch ends early', async () => {
    let isClosed = false
    const list = function* () {
      try {
        for (;;) yield 1
      } finally {
        isClosed = true
      }
    }
    const job = batch(list(), new ItemsInHand<number>().begin, { concurrency: 2 })
    await job.cancel()
    expect(isClosed).toBe(true)
  })

  test.for<[string, () => Iterable<number> | AsyncIterable<number>]>([
    [
      'throws',
      function* () {
        yield 1
        throw new Error('the pipe broke')
      },
    ],
    [
      'rejects',
      async function* () {
        yield 1
        await turn()
        throw new Error('the pipe broke')
      },
    ],
    ['is no proper one', () => ({ [Symbol.iterator]: () => ({ next: () => undefined as never }) })],
    ['is no proper one', () => ({ [Symbol.iterator]: () => ({ next: () => null as never }) })],
    ['is no proper one', () => ({ [Symbol.iterator]: () => ({ next: () => Promise.resolve() as never }) })],
    ['is no proper one', () => ({ [Symbol.iterator]: () => ({ next: () => unreadable as never }) })],
    ['is no proper one', () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(null as never) }) })],
    [
      'is no proper one',
      () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(unreadable as never) }) }),
    ],
  ])('that %s ends the batch with what had been done, and says why', async ([how, list]) => {
    const report = await batch(list(), done).unwrap()
    expect(report.isSuccess).toBe(false)
    expect(report.stopped?.by).toBe('items')
    expect(report.stopped?.cause).toBeInstanceOf(Error)
    if (how !== 'is no proper one') {
      expect(report.stopped?.reason).toContain('the pipe broke')
      expect(report.counts.succeeded).toBe(1)
    }
  })

  test('that never answers does not hold up a cancelled batch', async () => {
    const list = async function* (): AsyncGenerator<number> {
      yield 1
      await new Promise(() => undefined)
    }
    const hands = new ItemsInHand<number>()
    const job = batch(list(), hands.begin)
    while (hands.started.length === 0) await turn()
    expect((await job.cancel()).isOk()).toBe(true)
    expect((await job.unwrap()).counts).toMatchObject({ cancelled: 1 })
  })
})

describe('what the function returns', () => {
  test('may be a promise of a Result: several steps, in an async function', async () => {
    const report = await batch([1, 2], async (item) => {
      const first = createJob<number>()
      first.succeed(item)
      const result = await first.job
      if (result.isErr()) return err(result.error)
      return item === 1 ? ok(result.value * 10) : err(gone())
    }).unwrap()
    expect(report.succeeded.map(({ result }) => result.value)).toEqual([10])
    expect(report.failed.map(({ result }) => result.error)).toMatchObject([{ code: 'VM_NOT_FOUND' }])
    expect(report.outcomes.map(({ jobId }) => jobId)).toEqual([undefined, undefined])
  })

  test('an error that unwrap throws is the error of the item', async () => {
    const error = gone()
    const report = await batch([1], async () => {
      const { job, fail } = createJob<number>()
      fail(error)
      return ok(await job.unwrap())
    }).unwrap()
    expect(report.failed[0]?.result.error).toBe(error)
  })

  describe("a user's own error", () => {
    class BuildFailed extends Error {
      readonly exitCode = 2
    }

    test.for<[string, (error: unknown) => Promise<Result<void, unknown>>]>([
      ['returned', (error) => Promise.resolve(err(error))],
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is one
      ['thrown', (error) => Promise.reject(error)],
    ])('that is %s is the error of the item, as itself', async ([, fail]) => {
      const error = new BuildFailed('make ended with 2')
      const job = batch(['a', 'b'], (item) => (item === 'a' ? fail(error) : Promise.resolve(ok())), {
        stopOnError: true,
      })
      const report = await job.unwrap()
      expect(report.failed.map(({ result }) => result.error)).toEqual([error])
      expect(report.failed[0]?.result.error).toBe(error)
      expect(report.counts).toMatchObject({ succeeded: 1, failed: 1 })
      expect(JSON.parse(JSON.stringify(report))).toMatchObject({
        failures: [{ item: 'a', error: { name: 'Error', message: 'make ended with 2' } }],
      })
    })

    test('need not be an Error', async () => {
      const report = await batch(['a', 'b'], (item) => Promise.resolve(err(item === 'a' ? 'no' : undefined))).unwrap()
      expect(report.failed.map(({ result }) => result.error)).toEqual(['no', undefined])
    })

    test('is tried again if it is retryable', async () => {
      const attempts: string[] = []
      const fail = (item: string): Promise<Result<void, Error>> => {
        attempts.push(item)
        return Promise.reject(Object.assign(new Error(item), { retryable: item === 'flaky' }))
      }
      const retry = { attempts: 2, backoff: { initialMs: 0 } }
      const report = await batch(['flaky', 'broken'], fail, { retry }).unwrap()
      expect(attempts).toEqual(['flaky', 'broken', 'flaky'])
      expect(report.outcomes.map(({ attempts: tried }) => tried)).toEqual([2, 1])
      expect(report.failed[0]?.result.error).toMatchObject({ message: 'flaky' })
    })
  })

  test.for<[string, () => unknown, RegExp]>([
    ['throws', () => JSON.parse('{'), /Cannot run the batch: the function threw: /],
    ['is nothing', () => undefined, /the function returned neither a job nor a Result\. Return the job itself/],
    ['is a promise of nothing', () => Promise.resolve(), /neither a job nor a Result/],
    ['rejects with what has no words', () => Promise.reject(Object.create(null) as Error), /the function threw: /],
    [
      'is a false Result',
      () => Promise.resolve({ isOk: () => JSON.parse('{'), isErr: () => false }),
      /the function threw: /,
    ],
  ])('a function that %s is told of, and the others go on', async ([, operation, message]) => {
    const report = await batch([1, 2], (item) => (item === 1 ? operation() : Promise.resolve(ok(2))) as never).unwrap()
    expect(report.failed[0]?.result.error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'operation' })
    expect(report.failed[0]?.result.error.message).toMatch(message)
    expect(report.counts).toMatchObject({ succeeded: 1, failed: 1 })
  })

  test('it gets the index of the item, and the attempt', async () => {
    const told: unknown[] = []
    await batch(
      ['a', 'b'],
      (item, { index, attempt, signal }) => {
        told.push([item, index, attempt, signal.aborted])
        return Promise.resolve(ok())
      },
      { concurrency: 1 },
    )
    expect(told).toEqual([
      ['a', 0, 1, false],
      ['b', 1, 1, false],
    ])
  })
})

describe('stopOnError', () => {
  test('starts nothing after a failure, and lets the others end', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(100), hands.begin, { concurrency: 3, stopOnError: true })
    hands.of(1).fail(gone())
    await turn()
    expect(hands.started).toEqual([0, 1, 2])
    expect(hands.running).toEqual([0, 2])
    hands.of(0).succeed()
    hands.of(2).fail(gone())
    const report = await job.unwrap()
    expect(report.counts).toEqual({ queued: 0, running: 0, succeeded: 1, failed: 2, cancelled: 97 })
    expect(report.outcomes).toHaveLength(100)
    expect(report.stopped).toMatchObject({ by: 'error', reason: 'an item failed' })
    expect(report.cancelled[0]).toMatchObject({ index: 3, item: 3, attempts: 0, jobId: undefined })
    expect(report.cancelled[0]?.result.error.message).toBe(
      'Cannot run the batch: the batch was stopped before its turn.',
    )
  })

  test('a failure of the last item stops nothing', async () => {
    const report = await batch([1], () => Promise.resolve(err(gone())), { stopOnError: true }).unwrap()
    expect(report.stopped).toBeUndefined()
    expect(report.counts.failed).toBe(1)
  })
})

describe('progress', () => {
  test('is the mean of all items', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(4), hands.begin, { concurrency: 2 })
    const seen: Progress[] = []
    job.onProgress((progress) => seen.push(progress))
    hands.of(0).progress({ percent: 50 })
    await turn()
    expect(job.progress).toEqual({
      percent: 12.5,
      done: 0,
      total: 4,
      unit: 'items',
      items: { queued: 2, running: 2, succeeded: 0, failed: 0, cancelled: 0 },
    })
    hands.of(0).succeed()
    hands.of(1).fail(gone())
    await turn()
    expect(job.progress).toMatchObject({ percent: 50, done: 2, items: { running: 2, succeeded: 1, failed: 1 } })
    hands.of(2).succeed()
    hands.of(3).succeed()
    await job
    expect(job.progress).toMatchObject({ percent: 100, done: 4, items: { succeeded: 3, failed: 1 } })
    const percents = seen.map(({ percent }) => percent)
    expect(percents).toEqual([...percents].sort((a, b) => a - b))
  })

  test('of a list without a length has the number done, but no percentage before its end is known', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(10)[Symbol.iterator](), hands.begin, { concurrency: 2 })
    hands.of(0).succeed()
    await turn()
    expect(job.progress).toMatchObject({ percent: 0, done: 1 })
    expect(job.progress.total).toBeUndefined()
    while (job.status === 'running') {
      for (const item of hands.running) hands.of(item).succeed()
      await turn()
    }
    expect(job.progress).toMatchObject({ percent: 100, done: 10, total: 10 })
  })

  test('jobs has the running ones', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(3), hands.begin, { concurrency: 2 })
    expect(job.jobs.map(({ id }) => id)).toEqual([hands.of(0).job.id, hands.of(1).job.id])
    hands.of(0).succeed()
    await turn()
    expect(job.jobs.map(({ id }) => id)).toEqual([hands.of(1).job.id, hands.of(2).job.id])
    hands.of(1).succeed()
    hands.of(2).succeed()
    await job
    expect(job.jobs).toEqual([])
  })
})

test.for<[string, unknown[], string]>([
  ['items that are none', [5, () => ok()], 'items'],
  ['no items', [undefined, () => ok()], 'items'],
  ['a text', ['abc', () => ok()], 'items'],
  ['no function', [[], undefined], 'operation'],
  ['a concurrency of 0', [[], () => ok(), { concurrency: 0 }], 'options.concurrency'],
  ['half a place', [[], () => ok(), { concurrency: 1.5 }], 'options.concurrency'],
  ['no attempts', [[], () => ok(), { retry: { attempts: 0 } }], 'options.retry.attempts'],
  ['an unknown setting', [[], () => ok(), { retry: { attempts: 1, times: 3 } }], 'options.retry.times'],
  ['a rate without a time', [[], () => ok(), { rateLimit: { starts: 1 } }], 'options.rateLimit.intervalMs'],
  ['a negative time', [[], () => ok(), { timeoutMs: -1 }], 'options.timeoutMs'],
  ['a signal that is none', [[], () => ok(), { signal: {} }], 'signal'],
  ['null for options', [[], () => ok(), null], 'options'],
])('%s ends with InvalidArgumentError, and nothing is begun', async ([, args, path]) => {
  const job = (batch as (...args: unknown[]) => BatchJob<unknown, unknown>)(...args)
  expect(job.result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path })
  expect(job.jobs).toEqual([])
  expect(await job.outcomes().next()).toEqual({ done: true, value: undefined })
})

test('options that throw are refused', () => {
  const options = {
    get signal(): never {
      throw new Error('not now')
    },
  }
  expect(batch([1], () => createJob().job, options).retCode).toBe('INVALID_ARGUMENT')
})

test('items that throw are refused', () => {
  const items = {
    get [Symbol.iterator](): never {
      throw new ResourceBusyError({ reason: 'not now' })
    },
  }
  expect(batch(items, () => createJob().job).retCode).toBe('INVALID_ARGUMENT')
})
