import fc from 'fast-check'
import { JobCancelledError, VmNotFoundError, type Result } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { hostTask } from '../../../src/driver/host-task.js'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const action = fc.constantFrom(
  'succeed',
  'fail',
  'progress',
  'cancel',
  'abort',
  'time',
  'wait',
  'waitBriefly',
  'lose',
  'find',
  'turn',
)
const answer = fc.constantFrom('none', 'takes', 'refuses', 'throws', 'stops', 'hangs', 'signal')

test('a job settles exactly once, in any order of events, and all waiters get the same Result', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 20 }), answer, fc.boolean(), async (actions, host, isTimed) => {
      const controller = new AbortController()
      const ends: unknown[] = []
      const { job, task, succeed, fail, progress } = createJob<number>({
        signal: controller.signal,
        ...(isTimed && { timeoutMs: 10 }),
      })
      const stop = (): void => fail(new JobCancelledError({ reason: 'stopped' }))
      if (host === 'signal') task.signal.addEventListener('abort', stop)
      else if (host !== 'none') {
        task.cancelWith(async () => {
          if (host === 'throws') throw new Error('no')
          if (host === 'hangs') await new Promise(() => undefined)
          if (host === 'stops') stop()
          return host !== 'refuses'
        })
      }
      void job.then((result) => ends.push(result))
      const waiters: PromiseLike<unknown>[] = [
        job,
        job.unwrap().then(
          () => job.result,
          () => job.result,
        ),
      ]
      const brief: PromiseLike<Result<unknown, unknown>>[] = []
      const cancels: PromiseLike<unknown>[] = []
      let isSettled = false
      let percent = 0
      for (const next of actions) {
        if (next === 'succeed') succeed(1)
        else if (next === 'fail') fail(new VmNotFoundError({ reason: 'gone' }))
        else if (next === 'progress') progress({ percent: 50 })
        else if (next === 'cancel') cancels.push(job.cancel())
        else if (next === 'abort') controller.abort()
        else if (next === 'time') await vi.advanceTimersByTimeAsync(10)
        else if (next === 'wait')
          waiters.push(
            job.wait(),
            job.toResultAsync().then((result) => result),
          )
        else if (next === 'waitBriefly') brief.push(job.wait({ timeoutMs: 3, signal: controller.signal }))
        else if (next === 'turn') await vi.advanceTimersByTimeAsync(0)
        else hostTask(task).setReachable(next === 'find')

        const { result } = job
        expect(result !== undefined || !isSettled).toBe(true)
        isSettled = result !== undefined
        expect(job.finishedAt !== undefined).toBe(isSettled)
        expect(job.progress.percent).toBeGreaterThanOrEqual(percent)
        percent = job.progress.percent
        expect(percent === 100).toBe(result?.isOk() === true)
      }
      succeed(2)
      const settled = job.result
      expect(settled).toBeDefined()
      expect(new Set(await Promise.all(waiters))).toEqual(new Set([settled]))
      await Promise.all(cancels)
      await vi.advanceTimersByTimeAsync(10)
      for (const result of await Promise.all(brief)) {
        expect(result === settled || result.isErr()).toBe(true)
      }
      expect(ends).toEqual([settled])
      expect(await job).toBe(settled)
      expect(vi.getTimerCount()).toBe(0)
    }),
    { numRuns: 500 },
  )
})
