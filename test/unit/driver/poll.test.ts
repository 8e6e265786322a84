import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { poll } from '../../../src/driver/poll.js'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** Answers after so many questions, and notes when each came. */
const answering = (answer: string, after: number) => {
  const times: number[] = []
  const ask = (waitedMs: number): string | undefined => {
    times.push(waitedMs)
    return times.length < after ? undefined : answer
  }
  return { ask, times }
}

describe('poll', () => {
  it('asks at once, and waits for nothing if there is an answer', async () => {
    expect(await poll(() => 'done', { initialMs: 10, maxMs: 500 })).toBe('done')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('asks after pauses that double up to the longest', async () => {
    const { ask, times } = answering('done', 6)
    const answer = poll(ask, { initialMs: 10, maxMs: 50 })
    await vi.runAllTimersAsync()
    expect(await answer).toBe('done')
    expect(times).toEqual([0, 10, 30, 70, 120, 170])
  })

  it('takes an answer that is false or null', async () => {
    expect(await poll(() => false, { initialMs: 10, maxMs: 10 })).toBe(false)
    expect(await poll(() => null, { initialMs: 10, maxMs: 10 })).toBeNull()
  })

  it('ends with an error of the question, which is given the time waited', async () => {
    const ask = async (waitedMs: number): Promise<undefined> => {
      await Promise.resolve()
      if (waitedMs > 1000) throw new Error(`nothing after ${String(waitedMs)} ms`)
    }
    const outcome = expect(poll(ask, { initialMs: 400, maxMs: 400 })).rejects.toThrow('nothing after 1200 ms')
    await vi.runAllTimersAsync()
    await outcome
  })

  it('ends at once with the reason of its signal, and leaves neither a timer nor a listener', async () => {
    const controller = new AbortController()
    const reason = new Error('the server was closed')
    const outcome = expect(
      poll(() => undefined, { initialMs: 1000, maxMs: 1000, signal: controller.signal }),
    ).rejects.toBe(reason)
    await vi.advanceTimersByTimeAsync(1500)
    controller.abort(reason)
    await outcome
    expect(vi.getTimerCount()).toBe(0)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  it('asks nothing if its signal was aborted before', async () => {
    const ask = vi.fn(() => 'done')
    const signal = AbortSignal.abort(new Error('too late'))
    await expect(poll(ask, { initialMs: 1, maxMs: 1, signal })).rejects.toThrow('too late')
    expect(ask).not.toHaveBeenCalled()
  })

  it('asks at short intervals once it is told to hurry', async () => {
    const controller = new AbortController()
    const { ask, times } = answering('done', 7)
    const answer = poll(ask, { initialMs: 100, maxMs: 10_000, factor: 10, hurry: controller.signal })
    await vi.advanceTimersByTimeAsync(5000)
    controller.abort()
    await vi.runAllTimersAsync()
    expect(await answer).toBe('done')
    expect(times).toEqual([0, 100, 1100, 5000, 5100, 5200, 5300])
  })
})
