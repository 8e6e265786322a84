import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { batch, err, ok, ResourceBusyError, type BatchOutcome, type BatchRetry, type VmError } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { ItemsInHand } from '../../support/items-in-hand.js'
import { uncaughtIn } from '../../support/uncaught.js'

const busy = (): ResourceBusyError => new ResourceBusyError({ reason: 'locked' })
const retry = { attempts: 3, backoff: { initialMs: 1 } }

describe('onOutcome', () => {
  test('gets each outcome as it comes, and all of them before the batch ends', async () => {
    const hands = new ItemsInHand<string>()
    const outcomes: BatchOutcome<string, void, VmError>[] = []
    const job = batch(['a', 'b', 'c'], hands.begin, { onOutcome: (outcome) => outcomes.push(outcome) })
    hands.of('b').succeed()
    await turn()
    expect(outcomes.map(({ item }) => item)).toEqual(['b'])
    hands.of('a').fail(busy())
    hands.of('c').succeed()
    const report = await job.unwrap()
    expect(outcomes.map(({ item }) => item)).toEqual(['b', 'a', 'c'])
    expect([...outcomes].sort((one, other) => one.index - other.index)).toEqual(report.outcomes)
  })

  test('gets the items of a cancelled batch that were never started', async () => {
    const hands = new ItemsInHand<number>()
    const items: number[] = []
    const job = batch([1, 2, 3], hands.begin, { concurrency: 1, onOutcome: ({ item }) => items.push(item) })
    await job.cancel()
    await job
    expect(items.sort()).toEqual([1, 2, 3])
  })

  test('may cancel the batch: the report has all items', async () => {
    const hands = new ItemsInHand<number>()
    const controller = new AbortController()
    const job = batch([1, 2, 3, 4], hands.begin, {
      concurrency: 2,
      signal: controller.signal,
      onOutcome: () => {
        controller.abort()
      },
    })
    hands.of(1).succeed()
    const report = await job.unwrap()
    expect(report.outcomes.map(({ item }) => item)).toEqual([1, 2, 3, 4])
    expect(report.counts).toMatchObject({ succeeded: 1, cancelled: 3 })
    expect(hands.started).toEqual([1, 2])
  })

  test('runs in the async context of the call', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const hands = new ItemsInHand<number>()
    const job = storage.run('caller', () => batch([1], hands.begin, { onOutcome: () => seen.push(storage.getStore()) }))
    storage.run('other', () => {
      hands.of(1).succeed()
    })
    await job
    expect(seen).toEqual(['caller'])
  })

  test('that throws fails as an uncaught exception, and harms nothing', async () => {
    let isSuccess = false
    const uncaught = await uncaughtIn(async () => {
      const job = batch([1, 2], () => Promise.resolve(ok()), {
        onOutcome: ({ item }) => {
          throw new Error(`no ${String(item)}`)
        },
      })
      isSuccess = (await job.unwrap()).isSuccess
    })
    expect(uncaught).toEqual([new Error('no 1'), new Error('no 2')])
    expect(isSuccess).toBe(true)
  })
})

test('onRetry tells each attempt that is followed by another, with its error and the pause', async () => {
  const retries: BatchRetry<string, unknown>[] = []
  const errors = [busy(), busy(), busy()]
  const job = batch(['a'], (_, { attempt }) => Promise.resolve(err(errors[attempt - 1]!)), {
    retry,
    onRetry: (again) => retries.push(again),
  })
  const report = await job.unwrap()
  expect(retries).toEqual([
    {
      index: 0,
      item: 'a',
      jobId: undefined,
      error: errors[0],
      attempts: 1,
      pauseMs: expect.closeTo(0.75, 0) as number,
    },
    { index: 0, item: 'a', jobId: undefined, error: errors[1], attempts: 2, pauseMs: expect.closeTo(1.5, 0) as number },
  ])
  expect(report.failed[0]?.attempts).toBe(3)
})

describe('retry.when', () => {
  test('decides instead of the error itself, and is not asked after the last attempt', async () => {
    const asked: [string, number][] = []
    const when = (error: Error | string, attempt: number): boolean => {
      asked.push([String(error), attempt])
      return error === 'flaky'
    }
    const job = batch(['flaky', 'broken'], (item) => Promise.resolve(err(item)), { retry: { ...retry, when } })
    const report = await job.unwrap()
    expect(report.failed.map(({ attempts }) => attempts)).toEqual([3, 1])
    expect(asked.sort()).toEqual([
      ['broken', 1],
      ['flaky', 1],
      ['flaky', 2],
    ])
    const refused = await batch([1], () => Promise.resolve(err(busy())), { retry: { ...retry, when: () => false } })
    expect(refused._unsafeUnwrap().failed[0]?.attempts).toBe(1)
  })

  test('is not asked about an item that was cancelled', async () => {
    const hands = new ItemsInHand<number>()
    let asked = 0
    const when = (): boolean => {
      asked += 1
      return true
    }
    const job = batch([1], hands.begin, { retry: { ...retry, when } })
    await hands.of(1).job.cancel().unwrap()
    expect((await job.unwrap()).counts.cancelled).toBe(1)
    expect(asked).toBe(0)
  })

  test('may cancel the batch: the item ends with its own error', async () => {
    const controller = new AbortController()
    const error = busy()
    const when = (): boolean => {
      controller.abort()
      return true
    }
    const job = batch([1, 2], () => Promise.resolve(err(error)), {
      concurrency: 1,
      signal: controller.signal,
      retry: { ...retry, when },
    })
    const report = await job.unwrap()
    expect(report.outcomes.map(({ item, attempts }) => [item, attempts])).toEqual([
      [1, 1],
      [2, 0],
    ])
    expect(report.failed[0]?.result.error).toBe(error)
  })

  test.for<[string, () => boolean, string]>([
    [
      'throws',
      () => {
        throw new Error('no idea')
      },
      'threw: no idea',
    ],
    ['returns a promise', () => Promise.resolve(false) as never, 'must return true or false'],
  ])('that %s ends the item with InvalidArgumentError, which names its own error', async ([, when, problem]) => {
    const report = await batch([1], () => Promise.resolve(err(busy())), { retry: { ...retry, when } }).unwrap()
    expect(report.failed[0]?.attempts).toBe(1)
    expect(report.failed[0]?.result.error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'options.retry.when' })
    expect((report.failed[0]?.result.error as Error).message).toContain(`${problem}; the item had failed: locked`)
  })
})
