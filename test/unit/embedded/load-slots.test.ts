import { expect, test } from 'vitest'
import { LoadSlots } from '../../../src/drivers/embedded/machine/load-slots.js'

test('no more tasks run at once than there are slots, and in order, whether they fail or not', async () => {
  const slots = new LoadSlots(2)
  const started: number[] = []
  let running = 0
  let most = 0
  const outcomes = await Promise.allSettled(
    [0, 1, 2, 3, 4].map((index) =>
      slots.run(async () => {
        started.push(index)
        most = Math.max(most, ++running)
        await Promise.resolve()
        running--
        if (index === 1) throw new Error('failed')
        return index
      }),
    ),
  )
  expect([most, started]).toEqual([2, [0, 1, 2, 3, 4]])
  expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, true, true])
  expect(await slots.run(async () => 'free again')).toBe('free again')
})
