import { expect, test } from 'vitest'
import { Interruption } from '../../../src/drivers/simulated/interruption.js'

const stop = new Error('stop')

test('a wait gives what it is resolved or rejected with', async () => {
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

test('an interruption breaks the wait that is under way, and stops what it waited for', async () => {
  const interruption = new Interruption()
  let stops = 0
  const waiting = interruption.wait(() => () => (stops += 1))
  interruption.interrupt(stop)
  await expect(waiting).rejects.toBe(stop)
  expect(stops).toBe(1)
})

test('one that comes between two waits breaks the next', async () => {
  const interruption = new Interruption()
  interruption.interrupt(stop)
  interruption.interrupt(new Error('too late'))
  await expect(interruption.wait(() => expect.fail('it was begun'))).rejects.toBe(stop)
})

test('one that comes between the end of a wait and its continuation is not lost', async () => {
  const interruption = new Interruption()
  const waiting = interruption.wait((resolve) => {
    resolve()
    return () => expect.fail('it had ended')
  })
  interruption.interrupt(stop)
  await expect(waiting).rejects.toBe(stop)
})

test('one that comes while a wait is begun stops that, too', async () => {
  const interruption = new Interruption()
  let stops = 0
  const waiting = interruption.wait(() => {
    interruption.interrupt(stop)
    return () => (stops += 1)
  })
  await expect(waiting).rejects.toBe(stop)
  expect(stops).toBe(1)
})
