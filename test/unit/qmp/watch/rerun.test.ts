import { expect, test } from 'vitest'
import { Rerun } from '../../../../src/drivers/qmp/watch/rerun.js'

const current = { isOutdated: false }

test('an action that is asked for while it runs runs once more, and never twice at once', async () => {
  const ends: (() => void)[] = []
  const rerun = new Rerun(() => new Promise((resolve) => ends.push(() => resolve(current))))
  const first = rerun.run()
  const second = rerun.run()
  const third = rerun.run()
  expect(ends).toHaveLength(1)
  ends[0]!()
  await expect.poll(() => ends.length).toBe(2)
  ends[1]!()
  await Promise.all([first, second, third])
  expect(ends).toHaveLength(2)
})

test('an action whose result is outdated runs again at once', async () => {
  const results = [{ isOutdated: true }, current]
  let runs = 0
  const rerun = new Rerun(async () => results[runs++]!)
  await rerun.run()
  expect(runs).toBe(2)
})

test('an action that fails can be run again', async () => {
  let runs = 0
  const rerun = new Rerun(async () => {
    runs += 1
    if (runs === 1) throw new Error('it can not be read')
    return current
  })
  await expect(rerun.run()).rejects.toThrow('it can not be read')
  await rerun.run()
  expect(runs).toBe(2)
})
