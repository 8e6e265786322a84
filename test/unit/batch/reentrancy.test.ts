import { setImmediate as turn } from 'node:timers/promises'
import { batch, err, ok, ResourceBusyError, VmNotFoundError } from 'awaitvm'
import { expect, test, vi } from 'vitest'
import { ItemsInHand } from '../../support/items-in-hand.js'

test.for([1, 2])(
  'of %d at once, a function that cancels: its item runs, is stopped and reported',
  async (concurrency) => {
    const controller = new AbortController()
    const hands = new ItemsInHand<number>()
    const begin = (item: number): ReturnType<typeof hands.begin> => {
      if (item === 1) controller.abort()
      return hands.begin(item)
    }
    const report = await batch([1, 2, 3], begin, { concurrency, signal: controller.signal }).unwrap()
    expect(report.outcomes.map(({ item }) => item)).toEqual([1, 2, 3])
    expect(report.counts.cancelled).toBe(3)
    expect(hands.started).toEqual([1])
    expect(hands.running).toEqual([])
  },
)

test('a function that cancels the batch when a place becomes free', async () => {
  const controller = new AbortController()
  const hands = new ItemsInHand<number>()
  const job = batch(
    [1, 2, 3],
    (item) => {
      if (item === 2) controller.abort()
      return hands.begin(item)
    },
    { concurrency: 1, signal: controller.signal },
  )
  hands.of(1).succeed()
  const report = await job.unwrap()
  expect(report.outcomes.map(({ item, attempts }) => [item, attempts])).toEqual([
    [1, 1],
    [2, 1],
    [3, 0],
  ])
  expect(hands.running).toEqual([])
})

test('a priority that cancels the batch: nothing is started, and all items are in the report', async () => {
  const controller = new AbortController()
  const hands = new ItemsInHand<number>()
  const priority = (): number => {
    controller.abort()
    return 1
  }
  const report = await batch([1, 2, 3], hands.begin, { signal: controller.signal, priority }).unwrap()
  await turn()
  expect(hands.started).toEqual([])
  expect(report.outcomes.map(({ item }) => item)).toEqual([1, 2, 3])
})

test('a list that cancels the batch is closed, and its items are in the report', async () => {
  const controller = new AbortController()
  let isClosed = false
  const list = function* () {
    try {
      controller.abort()
      yield 1
      yield 2
    } finally {
      isClosed = true
    }
  }
  const report = await batch(list(), () => Promise.resolve(ok()), { signal: controller.signal }).unwrap()
  expect(isClosed).toBe(true)
  expect(report.outcomes.map(({ item, attempts }) => [item, attempts])).toEqual([[1, 0]])
})

test('a function that reads its signal late still gets a cancellation that came after the batch was stopped', async () => {
  let goOn = (): void => undefined
  const gate = new Promise<void>((resolve) => (goOn = resolve))
  const job = batch(
    [1, 2],
    async (item, context) => {
      if (item === 1) return err(new VmNotFoundError({ reason: 'gone' }))
      await gate
      return ok(context.signal.aborted)
    },
    { stopOnError: true },
  )
  await turn()
  const cancelling = job.cancel()
  goOn()
  await cancelling
  expect((await job.unwrap()).succeeded.map(({ result }) => result.value)).toEqual([true])
})

test('after its signal was aborted, cancel says at once how many go on', async () => {
  const controller = new AbortController()
  const hands = new ItemsInHand<number>(() => false)
  const job = batch([1, 2], hands.begin, { concurrency: 1, signal: controller.signal })
  controller.abort()
  await turn()
  expect((await job.cancel())._unsafeUnwrapErr().message).toContain("1 of its running items can't be stopped")
  hands.of(1).succeed()
  expect((await job.unwrap()).stopped?.by).toBe('signal')
})

test('an item that is in line for another attempt when the batch is cancelled ends with its last error', async () => {
  vi.useFakeTimers()
  try {
    const hands = new ItemsInHand<number>()
    const job = batch([1, 2], hands.begin, { concurrency: 1, retry: { attempts: 2 } })
    const error = new ResourceBusyError({ reason: 'locked' })
    hands.of(1).fail(error)
    await vi.runAllTimersAsync()
    expect(hands.started).toEqual([1, 2])
    expect((await job.cancel()).isOk()).toBe(true)
    const [first] = (await job.unwrap()).outcomes
    expect(first).toMatchObject({ item: 1, attempts: 1 })
    expect(first?.result._unsafeUnwrapErr()).toBe(error)
  } finally {
    vi.useRealTimers()
  }
})
