import { batch, err, ok, ResourceBusyError, type Result, VmNotFoundError, type Vm } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'
import { ItemsInHand } from '../../support/items-in-hand.js'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
const busy = (): ResourceBusyError => new ResourceBusyError({ reason: 'locked' })

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

/** Runs the timers that are due now, and the promises after them. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

describe('retry', () => {
  test('tries retryable errors again, with a delay that doubles, and counts the attempts', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    const times: number[] = []
    const start = Date.now()
    const job = batch(
      ['web-1'],
      (): Promise<Result<string, ResourceBusyError>> => {
        times.push(Date.now() - start)
        return Promise.resolve(times.length < 5 ? err(busy()) : ok('done'))
      },
      { retry: { attempts: 5, backoff: { initialMs: 100, maxMs: 350 } } },
    )
    await vi.runAllTimersAsync()
    const report = await job.unwrap()
    expect(times).toEqual([0, 100, 300, 650, 1000])
    expect(report.outcomes).toEqual([{ index: 0, item: 'web-1', jobId: undefined, result: ok('done'), attempts: 5 }])
  })

  test('the delay is random, from half to the whole', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const start = Date.now()
    let second = 0
    const job = batch(
      [1],
      (_, { attempt }) => {
        second = Date.now() - start
        return Promise.resolve(attempt === 1 ? err(busy()) : ok())
      },
      { retry: { attempts: 2 } },
    )
    await vi.runAllTimersAsync()
    await job
    expect(second).toBe(100)
  })

  test('gives up after the last attempt, with its error', async () => {
    const errors = [busy(), busy(), busy()]
    const job = batch([1], (_, { attempt }) => Promise.resolve(err(errors[attempt - 1]!)), { retry: { attempts: 3 } })
    await vi.runAllTimersAsync()
    const [failure] = (await job.unwrap()).failed
    expect(failure?.result.error).toBe(errors[2])
    expect(failure?.attempts).toBe(3)
  })

  test('other errors are not tried again', async () => {
    let calls = 0
    const job = batch(
      [1],
      () => {
        calls += 1
        return Promise.resolve(err(new VmNotFoundError({ reason: 'gone' })))
      },
      { retry: { attempts: 3 } },
    )
    expect((await job.unwrap()).counts.failed).toBe(1)
    expect(calls).toBe(1)
  })

  test('an item that waits for its next attempt takes no place', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(2), hands.begin, { concurrency: 1, retry: { attempts: 2 } })
    hands.of(0).fail(busy())
    await settle()
    expect(job.progress.items).toMatchObject({ queued: 1, running: 1 })
    expect(hands.started).toEqual([0, 1])
    hands.of(1).succeed()
    await vi.runAllTimersAsync()
    expect(hands.started).toEqual([0, 1, 0])
    hands.of(0).succeed()
    expect((await job.unwrap()).isSuccess).toBe(true)
  })

  test('the list is not read on while many wait for their next attempt', async () => {
    let taken = 0
    const list = function* () {
      for (;;) yield (taken += 1)
    }
    const job = batch(list(), () => Promise.resolve(err(busy())), { concurrency: 4, retry: { attempts: 2 } })
    await settle()
    expect(taken).toBeLessThanOrEqual(8)
    void job.cancel()
    await job
  })

  test('an item that waits for its next attempt when the batch is cancelled ends with its last error', async () => {
    const error = busy()
    const job = batch([1], () => Promise.resolve(err(error)), { retry: { attempts: 9 } })
    await settle()
    expect((await job.cancel()).isOk()).toBe(true)
    const report = await job.unwrap()
    expect(report.failed[0]).toMatchObject({ attempts: 1 })
    expect(report.failed[0]?.result.error).toBe(error)
    expect(report.stopped?.by).toBe('caller')
  })
})

test('rateLimit bounds the starts in any interval', async () => {
  const starts: number[] = []
  const begin = Date.now()
  const job = batch(
    upTo(7),
    () => {
      starts.push(Date.now() - begin)
      return Promise.resolve(ok())
    },
    { rateLimit: { starts: 3, intervalMs: 1000 } },
  )
  await vi.runAllTimersAsync()
  await job
  expect(starts).toEqual([0, 0, 0, 1000, 1000, 1000, 2000])
})

test('a cancelled batch does not wait for its rate', async () => {
  const hands = new ItemsInHand<number>()
  const job = batch(upTo(100), hands.begin, { rateLimit: { starts: 1, intervalMs: 3_600_000 } })
  expect((await job.cancel()).isOk()).toBe(true)
  expect((await job.unwrap()).counts.cancelled).toBe(100)
  await settle()
})

describe('priority', () => {
  test('items of higher priority go first, equal ones in the order of the list', async () => {
    const hands = new ItemsInHand<number>()
    const job = batch(upTo(200), hands.begin, { concurrency: 1, priority: (item) => item % 3 })
    while (job.status === 'running') {
      for (const item of hands.running) hands.of(item).succeed()
      await settle()
    }
    // The first item begins before there is a choice.
    const rest = upTo(200).slice(1)
    const byPriority = [2, 1, 0].flatMap((priority) => rest.filter((item) => item % 3 === priority))
    expect(hands.started).toEqual([0, ...byPriority])
  })

  test('may be Infinity', async () => {
    const started: number[] = []
    const begin = (item: number) => {
      started.push(item)
      return Promise.resolve(ok())
    }
    await batch(upTo(6), begin, { concurrency: 1, priority: (item) => (item % 2 === 0 ? 0 : Infinity) })
    expect(started).toEqual([0, 1, 3, 5, 2, 4])
  })

  test.for<[string, (item: number) => number]>([
    ['is no number that has words', () => Object.create(null) as number],
    ['throws', () => JSON.parse('{') as number],
    ['is no number', () => NaN],
  ])('one that %s fails its item only', async ([, priority]) => {
    const job = batch([1, 2], () => Promise.resolve(ok()), { priority: (item) => (item === 1 ? priority(item) : 0) })
    const report = await job.unwrap()
    expect(report.failed).toMatchObject([{ item: 1, result: { error: { code: 'INVALID_ARGUMENT' } } }])
    expect(report.counts.succeeded).toBe(1)
  })
})

describe('perHostConcurrency', () => {
  test('bounds the items of one host; those of others go on', async () => {
    const hands = new ItemsInHand<string>()
    const items = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']
    const job = batch(items, hands.begin, { concurrency: 4, perHostConcurrency: 1, hostOf: (item) => item[0] })
    expect(hands.started).toEqual(['a1', 'b1', 'c1'])
    hands.of('b1').succeed()
    await settle()
    expect(hands.running).toEqual(['a1', 'c1', 'b2'])
    hands.of('a1').succeed()
    await settle()
    expect(hands.running).toEqual(['c1', 'b2', 'a2'])
    void job.cancel()
    const report = await job.unwrap()
    expect(hands.started).not.toContain('a3')
    expect(report.outcomes.map(({ item }) => item)).toEqual(items)
  })

  test('the hosts of VMs are their connections', async () => {
    const answers = { 'server.getVm': ({ nameOrId }: { nameOrId: string }) => ({ ...record, id: nameOrId }) }
    const first = await fakeServer()
    const record = { id: first.vm.id, state: first.vm.state, config: first.vm.config }
    const [one, two] = [await fakeServer({ answers }), await fakeServer({ answers })]
    const vms: Vm[] = []
    for (const { server } of [one, one, two, two]) vms.push(await server.getVm(`vm-${String(vms.length)}`).unwrap())
    one.driver.calls.length = 0
    two.driver.calls.length = 0
    const job = batch(vms, (vm) => vm.start(), { perHostConcurrency: 1, hostOf: undefined })
    expect([one.driver.calls.length, two.driver.calls.length]).toEqual([1, 1])
    one.driver.last.succeed('running')
    two.driver.last.succeed('running')
    await settle()
    expect([one.driver.calls.length, two.driver.calls.length]).toEqual([2, 2])
    one.driver.last.succeed('running')
    two.driver.last.succeed('running')
    expect((await job.unwrap()).isSuccess).toBe(true)
  })

  test('of a long list without a length, enough items wait that another host has work', async () => {
    const hands = new ItemsInHand<number>()
    const list = function* () {
      yield* upTo(1500)
    }
    const job = batch(list(), hands.begin, {
      concurrency: 2,
      perHostConcurrency: 1,
      hostOf: (item) => (item < 900 ? 'first' : 'second'),
    })
    expect(hands.started).toEqual([0, 900])
    await job.cancel()
  })
})
