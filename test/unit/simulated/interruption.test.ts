import { expect, test } from 'vitest'
import { Interruption } from '../../../src/drivers/simulated/interruption.js'

const stop = new Error('stop')

test('a wait settles with the value or the error', async () => {
  const interruption = new Interruption()
  expect(
    await interruption.wait<number>((resolve) => {
      resolve(5)
      return () => expect.fail('it was not interrupted')
    }),
  ).toBe(5)
  const failed = interruption.wait((_resolve, reject) => {
    reject('a text')
    return () => expect.fail('it was not interrupted')
  })
  await expect(failed).rejects.toThrow('a text')
})

test('an interruption ends the wait under way, and stops what it waited for', async () => {
  const interruption = new Interruption()
  let stops = 0
  const waiting = interruption.wait(() => () => (stops += 1))
  interruption.interrupt(stop)
  await expect(waiting).rejects.toBe(stop)
  expect(stops).toBe(1)
})

test('an interruption between two waits ends the next', async () => {
  const interruption = new Interruption()
  interruption.interrupt(stop)
  interruption.interrupt(new Error('too late'))
  await expect(interruption.wait(() => expect.fail('it was begun'))).rejects.toBe(stop)
})

test('an interruption between the end of a wait and its continuation is not lost', async () => {
  const interruption = new Interruption()
  const waiting = interruption.wait((resolve) => {
    resolve()
    return () => expect.fail('it had ended')
  })
  interruption.interrupt(stop)
  await expect(waiting).rejects.toBe(stop)
})

test('an interruption while a wait begins stops that wait', async () => {
  const interruption = new Interruption()
  let stops = 0
  const waiting = interruption.wait(() => {
    interruption.interrupt(stop)
    return () => (stops += 1)
  })
  await expect(waiting).rejects.toBe(stop)
  expect(stops).toBe(1)
})
