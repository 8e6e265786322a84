import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { stayConnected } from '../../../src/driver/reconnect.js'

beforeEach(() => {
  vi.useFakeTimers()
  // The longest pause that jitter leaves.
  vi.spyOn(Math, 'random').mockReturnValue(1)
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

describe('stayConnected', () => {
  it('connects again after pauses that double up to the longest', async () => {
    const controller = new AbortController()
    const times: number[] = []
    const began = performance.now()
    const staying = stayConnected(
      () => {
        times.push(performance.now() - began)
        return Promise.reject(new Error('refused'))
      },
      { signal: controller.signal, onLost: () => undefined, initialMs: 1000, maxMs: 3000 },
    )
    await vi.advanceTimersByTimeAsync(9000)
    controller.abort()
    await staying
    expect(times).toEqual([0, 1000, 3000, 6000, 9000])
  })

  it('makes a pause shorter at random, by half at most', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const controller = new AbortController()
    const connect = vi.fn(() => Promise.resolve())
    const staying = stayConnected(connect, { signal: controller.signal, onLost: () => undefined, initialMs: 1000 })
    await vi.advanceTimersByTimeAsync(499)
    expect(connect).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(connect).toHaveBeenCalledTimes(2)
    controller.abort()
    await staying
  })

  it('begins with short pauses again once a connection has worked', async () => {
    const controller = new AbortController()
    const times: number[] = []
    const began = performance.now()
    const staying = stayConnected(
      (works) => {
        times.push(performance.now() - began)
        if (times.length === 3) works()
        return Promise.resolve()
      },
      { signal: controller.signal, onLost: () => undefined, initialMs: 1000, maxMs: 60_000 },
    )
    await vi.advanceTimersByTimeAsync(7000)
    controller.abort()
    await staying
    expect(times).toEqual([0, 1000, 3000, 4000, 5000, 7000])
  })

  it('tells each time why the connection was lost', async () => {
    const controller = new AbortController()
    const losses: unknown[] = []
    const ends = [() => Promise.reject(new Error('refused')), () => Promise.resolve(), () => new Promise<void>(() => 0)]
    void stayConnected(() => ends.shift()?.() ?? Promise.resolve(), {
      signal: controller.signal,
      onLost: (error) => losses.push(error?.message),
    })
    await vi.advanceTimersByTimeAsync(10_000)
    expect(losses).toEqual(['refused', undefined])
    expect(ends).toEqual([])
  })

  it('is silent about a connection that ends because it was closed, and leaves neither a timer nor a listener', async () => {
    const controller = new AbortController()
    const onLost = vi.fn()
    const connect = (): Promise<void> =>
      new Promise((_resolve, reject) => {
        controller.signal.addEventListener(
          'abort',
          () => {
            reject(new Error('closed'))
          },
          { once: true },
        )
      })
    const staying = stayConnected(connect, { signal: controller.signal, onLost })
    controller.abort()
    await staying
    expect(onLost).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  it('ends at once if it is closed between two attempts', async () => {
    const controller = new AbortController()
    const connect = vi.fn(() => Promise.resolve())
    const staying = stayConnected(connect, { signal: controller.signal, onLost: () => undefined })
    await vi.advanceTimersByTimeAsync(1)
    controller.abort()
    await staying
    expect(connect).toHaveBeenCalledTimes(1)
    expect(vi.getTimerCount()).toBe(0)
  })
})
