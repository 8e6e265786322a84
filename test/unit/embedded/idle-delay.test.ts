import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { wallClockMs } from '../../../src/clock.js'
import { idleDelay } from '../../../src/drivers/embedded/machine/idle-delay.js'

const silent = {
  periodic_interrupt: false,
  next_interrupt: 0,
  next_interrupt_alarm: 0,
  update_interrupt: false,
  update_interrupt_time: 0,
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

test('a timer that is due within a millisecond is waited for', () => {
  const wait = vi.spyOn(Atomics, 'wait')
  expect(idleDelay(0.6, silent)).toBe(0)
  expect(wait.mock.calls.map(([, , , timeoutMs]) => timeoutMs)).toEqual([0.6])
})

test('a guest that runs, and one whose timer is due, go on at once', () => {
  const wait = vi.spyOn(Atomics, 'wait')
  expect([0, -3].map((delay) => idleDelay(delay, silent))).toEqual([0, -3])
  expect(wait).not.toHaveBeenCalled()
})

test('a later timer is left to the event loop', () => {
  expect(idleDelay(3.8, silent)).toBe(3.8)
})

describe('without a timer for long', () => {
  test('the machine sleeps long', () => {
    expect(idleDelay(100, silent)).toBe(500)
  })

  test.each([
    ['alarm', (at: number) => ({ next_interrupt_alarm: at })],
    ['update', (at: number) => ({ update_interrupt: true, update_interrupt_time: at })],
    ['periodic interrupt', (at: number) => ({ periodic_interrupt: true, next_interrupt: at })],
  ])('the %s of the clock is on time', (_what, due) => {
    const now = wallClockMs()
    expect(idleDelay(100, { ...silent, ...due(now + 180) })).toBe(180)
    expect(idleDelay(100, { ...silent, ...due(now + 3000) })).toBe(500)
  })

  test('an interrupt that is switched off counts for nothing', () => {
    const soon = wallClockMs() + 180
    expect(idleDelay(100, { ...silent, next_interrupt: soon, update_interrupt_time: soon })).toBe(500)
  })
})
