import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TimerQueue } from '../../../src/drivers/simulated/timer-queue.js'

test('the queue gives the timers that were not cancelled, by time and then in the order in which they were added', () => {
  const timers = fc.array(fc.record({ dueMs: fc.nat(20), isCancelled: fc.boolean() }), { maxLength: 300 })
  fc.assert(
    fc.property(timers, (added) => {
      const queue = new TimerQueue()
      const done: number[] = []
      const cancels = added.map(({ dueMs }, index) => queue.add({ dueMs, run: () => done.push(index) }))
      added.forEach(({ isCancelled }, index) => {
        if (!isCancelled) return
        cancels[index]!()
        cancels[index]!()
      })
      const expected = added
        .map((timer, index) => ({ ...timer, index }))
        .filter(({ isCancelled }) => !isCancelled)
        .sort((a, b) => a.dueMs - b.dueMs || a.index - b.index)
        .map(({ index }) => index)
      for (let next = queue.take(); next !== undefined; next = queue.take()) next.run()
      expect(done).toEqual(expected)
    }),
  )
})

test('cancelling what has been taken changes nothing', () => {
  const queue = new TimerQueue()
  const cancel = queue.add({ dueMs: 1, run: () => undefined })
  queue.add({ dueMs: 2, run: () => undefined })
  expect(queue.take()?.dueMs).toBe(1)
  cancel()
  expect(queue.peek()?.dueMs).toBe(2)
})
