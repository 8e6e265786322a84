import { readFile } from 'node:fs/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { HostClock } from '../../../src/drivers/simulated/clock.js'
import { RealClock } from '../../../src/drivers/simulated/real-clock.js'
import { VirtualClock } from '../../../src/drivers/simulated/virtual-clock.js'
import { activeTimers } from '../../support/timers.js'

afterEach(() => {
  vi.useRealTimers()
})

/** Notes what the clock does and when. */
function logOf(clock: HostClock, plan: Record<string, number>): { log: string[]; cancels: (() => void)[] } {
  const log: string[] = []
  const begin = clock.now
  const cancels = Object.entries(plan).map(([name, ms]) =>
    clock.after(ms, () => log.push(`${name} at ${clock.now - begin}`)),
  )
  return { log, cancels }
}

describe('a virtual clock', () => {
  test('does what is due, in order, at its time, and no more', async () => {
    const clock = new VirtualClock(1000)
    const { log, cancels } = logOf(clock, { late: 30, early: 10, next: 20, beside: 20, never: 15 })
    cancels[4]!()
    await clock.advance(20)
    expect(log).toEqual(['early at 10', 'next at 20', 'beside at 20'])
    expect(clock.now).toBe(1020)
    expect(clock.elapsedMs).toBe(20)
    await clock.advance(9.5)
    expect(log).toHaveLength(3)
    await clock.advance(0.5)
    expect(log.at(-1)).toBe('late at 30')
  })

  test('lets promises settle before the next moment comes', async () => {
    const clock = new VirtualClock(0)
    const log: string[] = []
    clock.after(10, () => {
      void (async () => {
        for (let turns = 0; turns < 20; turns += 1) await Promise.resolve()
        log.push('settled')
        clock.after(5, () => log.push(`again at ${clock.now}`))
      })()
    })
    clock.after(20, () => log.push('second'))
    await clock.advance(30)
    expect(log).toEqual(['settled', 'again at 15', 'second'])
  })

  test('goes from one moment to the next', async () => {
    const clock = new VirtualClock(0)
    const { log } = logOf(clock, { first: 5, beside: 5, second: 3_600_000 })
    expect(await clock.next()).toBe(true)
    expect(log).toEqual(['first at 5', 'beside at 5'])
    expect(await clock.next()).toBe(true)
    expect(clock.now).toBe(3_600_000)
    expect(await clock.next()).toBe(false)
  })

  test('stands still during work on files', async () => {
    const clock = new VirtualClock(0)
    const { log } = logOf(clock, { due: 1 })
    let isRead = false
    const reading = clock.whileBusy(
      readFile(import.meta.filename).then(() => {
        isRead = true
      }),
    )
    log.length = 0
    clock.after(1, () => log.push(`read: ${isRead}`))
    await clock.advance(1)
    expect(log).toContain('read: true')
    await reading
  })

  test('makes one movement after the other', async () => {
    const clock = new VirtualClock(0)
    const { log } = logOf(clock, { first: 10, second: 20 })
    await Promise.all([clock.advance(10), clock.advance(10), clock.next()])
    expect(log).toEqual(['first at 10', 'second at 20'])
    expect(clock.now).toBe(20)
  })

  test('uses none of the timers that a test may have faked', async () => {
    vi.useFakeTimers()
    const clock = new VirtualClock(0)
    const { log } = logOf(clock, { due: 10 })
    await clock.advance(10)
    expect(log).toEqual(['due at 10'])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a real clock', () => {
  test('is moved by fake timers', async () => {
    vi.useFakeTimers({ now: 5000 })
    const clock = new RealClock()
    const { log, cancels } = logOf(clock, { first: 10, second: 20, never: 15 })
    expect(clock.now).toBe(5000)
    cancels[2]!()
    await vi.advanceTimersByTimeAsync(15)
    expect(log).toEqual(['first at 10'])
    const advancing = clock.advance(5)
    await vi.advanceTimersByTimeAsync(5)
    await advancing
    expect(log).toEqual(['first at 10', 'second at 20'])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('waits for what comes next', async () => {
    vi.useFakeTimers()
    const clock = new RealClock()
    const { log } = logOf(clock, { second: 20, first: 10 })
    const next = clock.next()
    await vi.advanceTimersByTimeAsync(10)
    expect(await next).toBe(true)
    expect(log).toEqual(['first at 10'])
    await vi.runAllTimersAsync()
    expect(await clock.next()).toBe(false)
  })

  test('keeps no timer while it is suspended, and then does what fell due', async () => {
    vi.useFakeTimers()
    const clock = new RealClock()
    const { log } = logOf(clock, { due: 10, later: 100 })
    clock.suspend()
    clock.after(20, () => log.push('made meanwhile'))
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(50)
    expect(log).toEqual([])
    clock.resume()
    await vi.advanceTimersByTimeAsync(0)
    expect(log).toEqual(['due at 50', 'made meanwhile'])
    await vi.advanceTimersByTimeAsync(50)
    expect(log.at(-1)).toBe('later at 100')
  })

  test('leaves no timer behind', async () => {
    const before = activeTimers()
    const clock = new RealClock()
    clock.after(60_000, () => undefined)()
    clock.after(60_000, () => undefined)
    clock.suspend()
    expect(activeTimers()).toBe(before)
  })
})

test.each([-1, Number.NaN, Infinity, '5', undefined])('%o is no length of time', async (ms) => {
  for (const clock of [new VirtualClock(0), new RealClock()]) {
    await expect(clock.advance(ms as number)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'ms' })
  }
})
