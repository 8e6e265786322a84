import fc from 'fast-check'
import { createJob } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { uncaughtIn } from '../../support/uncaught.js'

const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Infinity, -Infinity, -1, 0, 100, 1e308, undefined))
const update = fc.record({ percent: number, done: number, total: number }, { requiredKeys: [] })

describe('percent', () => {
  test('never falls, stays from 0 to 99 while the job runs, and is 100 once it has succeeded', () => {
    fc.assert(
      fc.property(fc.array(update), fc.boolean(), (updates, succeeds) => {
        const { job, progress, succeed } = createJob()
        let last = 0
        for (const one of updates) {
          progress(one)
          const { percent } = job.progress
          expect(percent).toBeGreaterThanOrEqual(last)
          expect(percent).toBeLessThanOrEqual(99)
          last = percent
        }
        if (succeeds) succeed()
        expect(job.progress.percent).toBe(succeeds ? 100 : last)
      }),
    )
  })

  test('is derived from done and total if it is absent', () => {
    const { job, progress } = createJob()
    progress({ done: 30, total: 120, unit: 'MiB' })
    expect(job.progress).toEqual({ percent: 25, done: 30, total: 120, unit: 'MiB' })
  })

  test.for([
    { percent: Number.NaN },
    { percent: -5 },
    { done: 5 },
    { done: 5, total: 0 },
    { done: Number.NaN, total: 9 },
  ])('%o is no progress', (one) => {
    const { job, progress } = createJob()
    progress({ percent: 10 })
    progress(one)
    expect(job.progress.percent).toBe(10)
  })

  test('invalid numbers are not passed on', () => {
    const { job, progress } = createJob()
    progress({ done: Number.NaN, total: -1, phase: 'copying' })
    expect(job.progress).toEqual({ percent: 0, phase: 'copying' })
  })
})

test('the phase stays until there is another', () => {
  const { job, progress } = createJob()
  progress({ phase: 'copying' })
  progress({ percent: 5 })
  expect(job.progress).toEqual({ percent: 5, phase: 'copying' })
})

test('a success completes what was counted', () => {
  const { job, progress, succeed } = createJob()
  progress({ done: 9, total: 10, unit: 'files' })
  succeed()
  expect(job.progress).toEqual({ percent: 100, done: 10, total: 10, unit: 'files' })
})

describe('onProgress', () => {
  test('calls at each update, and last with 100', () => {
    const { job, progress, succeed } = createJob()
    const seen: number[] = []
    job.onProgress(({ percent }) => seen.push(percent))
    progress({ percent: 10 })
    progress({ percent: 20 })
    succeed()
    expect(seen).toEqual([10, 20, 100])
  })

  test('the function that it returns takes the listener away', () => {
    const { job, progress } = createJob()
    const seen: number[] = []
    const unlisten = job.onProgress(({ percent }) => seen.push(percent))
    progress({ percent: 10 })
    unlisten()
    unlisten()
    progress({ percent: 20 })
    expect(seen).toEqual([10])
  })

  test('on a job that has ended calls nobody', () => {
    const { job, succeed } = createJob()
    succeed()
    const unlisten = job.onProgress(() => expect.unreachable())
    unlisten()
  })

  test('a listener that throws is an uncaught exception, and harms nothing', async () => {
    const error = new Error('of the listener')
    const seen: number[] = []
    const uncaught = await uncaughtIn(async () => {
      const { job, progress, succeed } = createJob()
      job.onProgress(() => {
        throw error
      })
      job.onProgress(({ percent }) => seen.push(percent))
      progress({ percent: 10 })
      succeed()
      expect((await job).isOk()).toBe(true)
    })
    expect(uncaught).toEqual([error, error])
    expect(seen).toEqual([10, 100])
  })

  test('a listener that ends the job does not let others hear twice of the end', () => {
    const { job, progress, succeed } = createJob()
    const seen: number[] = []
    job.onProgress(({ percent }) => {
      if (percent < 100) succeed()
    })
    job.onProgress(({ percent }) => seen.push(percent))
    progress({ percent: 10 })
    expect(seen).toEqual([100])
  })
})
