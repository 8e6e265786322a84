import { setImmediate } from 'node:timers/promises'
import { VmNotFoundError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { expect, test } from 'vitest'

test('yields the progress now and each later one, and ends with the job', async () => {
  const { job, progress, succeed } = createJob()
  progress({ percent: 5 })
  const seen: number[] = []
  const reading = (async () => {
    for await (const { percent } of job) seen.push(percent)
  })()
  for (const percent of [10, 20]) {
    await setImmediate()
    progress({ percent })
  }
  await setImmediate()
  succeed()
  await reading
  expect(seen).toEqual([5, 10, 20, 100])
})

test('a slow loop sees the latest, and the end', async () => {
  const { job, progress, succeed } = createJob()
  const iterator = job[Symbol.asyncIterator]()
  await iterator.next()
  for (let percent = 1; percent < 99; percent += 1) progress({ percent })
  expect(await iterator.next()).toMatchObject({ value: { percent: 98 } })
  progress({ percent: 99 })
  succeed()
  expect(await iterator.next()).toMatchObject({ value: { percent: 100 } })
  expect(await iterator.next()).toEqual({ done: true, value: undefined })
  expect(await iterator.next()).toEqual({ done: true, value: undefined })
})

test('ends if the job fails', async () => {
  const { job, fail } = createJob()
  const iterator = job[Symbol.asyncIterator]()
  await iterator.next()
  const last = iterator.next()
  fail(new VmNotFoundError({ reason: 'gone' }))
  expect(await last).toEqual({ done: true, value: undefined })
})

test('several calls of next at once are answered in order, one progress each', async () => {
  const { job, progress, succeed } = createJob()
  const iterator = job.ref[Symbol.asyncIterator]()
  const steps = [iterator.next(), iterator.next(), iterator.next(), iterator.next(), iterator.next()]
  progress({ percent: 10 })
  steps.push(iterator.next())
  progress({ percent: 20 })
  succeed()
  expect((await Promise.all(steps)).map(({ value }) => (value as { percent: number } | undefined)?.percent)).toEqual([
    0,
    10,
    20,
    100,
    undefined,
    undefined,
  ])
})

test('on a job that has ended yields its last progress once', async () => {
  const { job, succeed } = createJob()
  succeed()
  const seen: number[] = []
  for await (const { percent } of job) seen.push(percent)
  expect(seen).toEqual([100])
})

test('a loop that is left ends the iteration, and not the job', async () => {
  const { job, progress } = createJob()
  progress({ percent: 1 })
  for await (const { percent } of job) {
    expect(percent).toBe(1)
    break
  }
  expect(job.status).toBe('running')
})

test('return answers the readers that wait', async () => {
  const { job, progress } = createJob()
  const iterator = job[Symbol.asyncIterator]()
  await iterator.next()
  const waiting = iterator.next()
  await iterator.return?.()
  expect(await waiting).toEqual({ done: true, value: undefined })
  progress({ percent: 50 })
  expect(await iterator.next()).toEqual({ done: true, value: undefined })
})
