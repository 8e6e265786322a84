import { expect, test } from 'vitest'
import { Random } from '../../../src/drivers/simulated/random.js'

const draw = (random: Random): number[] => Array.from({ length: 1000 }, () => random.fraction())

test('the same seed and purpose give the same numbers, others give others', () => {
  expect(draw(Random.of(1, 'ids'))).toEqual(draw(Random.of(1, 'ids')))
  expect(draw(Random.of(1, 'ids'))).not.toEqual(draw(Random.of(2, 'ids')))
  expect(draw(Random.of(1, 'ids'))).not.toEqual(draw(Random.of(1, 'latency')))
})

test('fractions are spread from 0 to 1', () => {
  const drawn = draw(new Random(7))
  expect(drawn.every((value) => value >= 0 && value < 1)).toBe(true)
  const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length
  expect(mean).toBeGreaterThan(0.45)
  expect(mean).toBeLessThan(0.55)
})

test('ids are UUIDs, and none comes twice', () => {
  const random = new Random(1)
  const ids = Array.from({ length: 10_000 }, () => random.uuid())
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Set(ids).size).toBe(ids.length)
})
