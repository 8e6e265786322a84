import type { EventQueue, VmEvent } from 'awaitvm'
import { expect, test } from 'vitest'
import type { FakeDriver } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'

const event = (index: number): VmEvent => ({ type: 'created', vmId: String(index), name: 'x', at: new Date(0) })

async function queued(): Promise<{ queue: EventQueue; driver: FakeDriver }> {
  const { driver, server } = await fakeServer()
  return { queue: server.events(), driver }
}

const emit = (driver: FakeDriver, from: number, to: number): void => {
  for (let index = from; index < to; index += 1) driver.emit(event(index))
}
const next = async (queue: EventQueue): Promise<unknown> => {
  const { value } = await queue.next()
  return value?.type === 'overflow' ? `${value.dropped} dropped` : Number(value?.vmId)
}

test('readers that wait are answered in order', async () => {
  const { queue, driver } = await queued()
  const reads = [next(queue), next(queue)]
  emit(driver, 0, 3)
  expect(await Promise.all([...reads, next(queue)])).toEqual([0, 1, 2])
})

test('a reader that is too slow is told how many it has lost, at the place where they were', async () => {
  const { queue, driver } = await queued()
  emit(driver, 0, 10_005)
  for (let index = 0; index < 3; index += 1) expect(await next(queue)).toBe(index)
  emit(driver, 20_000, 20_002)
  for (let index = 3; index < 10_000; index += 1) expect(await next(queue)).toBe(index)
  expect(await next(queue)).toBe('5 dropped')
  expect([await next(queue), await next(queue)]).toEqual([20_000, 20_001])
  emit(driver, 30_000, 30_001)
  expect(await next(queue)).toBe(30_000)
})

test('one that stays too slow is told again', async () => {
  const { queue, driver } = await queued()
  emit(driver, 0, 10_001)
  for (let index = 0; index < 5; index += 1) await next(queue)
  emit(driver, 20_000, 20_010)
  const rest: unknown[] = []
  for (let index = 0; index < 10_001; index += 1) rest.push(await next(queue))
  expect(rest.filter((entry) => typeof entry === 'string')).toEqual(['1 dropped', '6 dropped'])
  expect(rest.slice(-3)).toEqual([20_002, 20_003, '6 dropped'])
})

test('a loop that is left stops listening, and answers readers that wait', async () => {
  const { queue, driver } = await queued()
  emit(driver, 0, 2)
  for await (const { type } of queue) {
    expect(type).toBe('created')
    break
  }
  expect(await queue.next()).toEqual({ done: true, value: undefined })
  const another = (await fakeServer()).server.events()
  const waiting = another.next()
  await another[Symbol.asyncDispose]()
  expect(await waiting).toEqual({ done: true, value: undefined })
})

test('what was queued before the end is still read', async () => {
  const { driver, server } = await fakeServer()
  const queue = server.events()
  emit(driver, 0, 2)
  await server.close()
  expect([await next(queue), await next(queue)]).toEqual([0, 1])
  expect(await queue.next()).toEqual({ done: true, value: undefined })
})
