import { setImmediate as turn } from 'node:timers/promises'
import { batch, ok, VmNotFoundError, type BatchOutcome, type VmError } from 'awaitvm'
import { expect, test } from 'vitest'
import { collectUntil } from '../../support/garbage-collection.js'
import { fakeServer } from '../../support/fake-server.js'
import { ItemsInHand } from '../../support/items-in-hand.js'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test('come in the order of completion, and are not in the report', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(4), hands.begin)
  hands.of(2).succeed()
  await turn()
  const reading = (async () => {
    const items: number[] = []
    for await (const { item } of job.outcomes()) items.push(item)
    return items
  })()
  for (const item of [3, 0, 1]) {
    hands.of(item).succeed()
    await turn()
  }
  expect(await reading).toEqual([2, 3, 0, 1])
  const report = await job.unwrap()
  expect(report.outcomes).toEqual([])
  expect(report.counts.succeeded).toBe(4)
  expect(report.isSuccess).toBe(true)
})

test('after a reader leaves, the rest goes to the report, its unread outcomes included', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(5), hands.begin)
  const seen: number[] = []
  for (const item of [4, 3, 2]) hands.of(item).succeed()
  await turn()
  for await (const { item } of job.outcomes()) {
    seen.push(item)
    break
  }
  hands.of(0).succeed()
  hands.of(1).succeed()
  const report = await job.unwrap()
  expect([...report.outcomes.map(({ item }) => item), ...seen].sort()).toEqual(upTo(5))
  expect(seen).toHaveLength(1)
})

test('one reader at a time, and another after it', async () => {
  const job = batch(upTo(3), () => Promise.resolve(ok()))
  const first = job.outcomes()
  expect(() => job.outcomes()).toThrow('being read already')
  await first.return?.()
  await job
  let read = 0
  for await (const _ of job.outcomes()) read += 1
  expect(read).toBe(3)
})

test('the unread outcomes of a reader that leaves after the end go to the report', async () => {
  const job = batch(upTo(5), () => Promise.resolve(ok()))
  const outcomes = job.outcomes()
  const report = await job.unwrap()
  expect((await outcomes.next()).value).toMatchObject({ item: 0 })
  await outcomes.return?.()
  expect(report.outcomes.map(({ item }) => item)).toEqual([1, 2, 3, 4])
})

test('a reader that leaves twice takes nothing from the next one, and one that has read all makes way', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(2), hands.begin)
  const first = job.outcomes()
  await first.return?.()
  const second = job.outcomes()
  await first.return?.()
  for (const item of upTo(2)) hands.of(item).succeed()
  const read: number[] = []
  for await (const { item } of second) read.push(item)
  expect(read).toEqual(upTo(2))
  expect(await job.outcomes().next()).toEqual({ done: true, value: undefined })
})

test('a slow reader slows the batch down', async () => {
  let taken = 0
  const list = function* () {
    while (taken < 1000) yield (taken += 1)
  }
  const job = batch(list(), () => Promise.resolve(ok()), { concurrency: 4 })
  const outcomes = job.outcomes()
  for (let times = 0; times < 100; times += 1) await turn()
  expect(taken).toBeLessThan(20)
  let read = 0
  for await (const _ of outcomes) read += 1
  expect(read).toBe(1000)
  expect((await job.unwrap()).counts.succeeded).toBe(1000)
})

test('of a cancelled batch are all read, too', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(1000), hands.begin, { concurrency: 8 })
  const outcomes: BatchOutcome<number, void, VmError>[] = []
  const reading = (async () => {
    for await (const outcome of job.outcomes()) outcomes.push(outcome)
  })()
  await turn()
  await job.cancel()
  await reading
  expect(outcomes.map(({ index }) => index).sort((a, b) => a - b)).toEqual(upTo(1000))
})

test('a signal that lives on does not keep a finished batch in memory', async () => {
  const signal = new AbortController().signal
  let isGone = false
  const registry = new FinalizationRegistry(() => (isGone = true))
  await (async () => {
    const job = batch(upTo(10), () => Promise.resolve(ok()), { signal })
    registry.register(job, undefined)
    await job
  })()
  expect(await collectUntil(() => isGone)).toBe(true)
})

test('failures in a batch that nobody looks at are reported as failures of the batch', async () => {
  const failures: unknown[] = []
  const { driver, server, vm } = await fakeServer(
    {},
    { onUnobservedFailure: ({ operation, error }) => failures.push([operation, error.code]) },
  )
  void batch([vm, vm], (item) => item.start())
  driver.calls[0]?.fail(new VmNotFoundError({ reason: 'gone' }))
  driver.calls[1]?.succeed('running')
  await turn()
  await server.close()
  expect(failures).toEqual([['batch', 'VM_NOT_FOUND']])
})

test('failures that a reader of outcomes gets count as looked at', async () => {
  const failures: unknown[] = []
  const { driver, server, vm } = await fakeServer({}, { onUnobservedFailure: (failure) => failures.push(failure) })
  const job = batch([vm], (item) => item.start())
  driver.last.fail(new VmNotFoundError({ reason: 'gone' }))
  for await (const { result } of job.outcomes()) expect(result.isErr()).toBe(true)
  await server.close()
  expect(failures).toEqual([])
})

test('the JSON of a report has what failed', async () => {
  const hands = new ItemsInHand<string>()
  const job = batch(['web-1', 'web-2'], hands.begin)
  hands.of('web-1').fail(new VmNotFoundError({ reason: 'gone' }))
  hands.of('web-2').succeed()
  expect(JSON.parse(JSON.stringify(await job.unwrap()))).toMatchObject({
    isSuccess: false,
    counts: { succeeded: 1, failed: 1 },
    failures: [{ index: 0, item: 'web-1', attempts: 1, error: { code: 'VM_NOT_FOUND' } }],
  })
})
