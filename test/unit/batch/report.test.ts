import { setImmediate as turn } from 'node:timers/promises'
import { batch, err, ok, VmNotFoundError } from 'awaitvm'
import { expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'
import { ItemsInHand } from '../../support/items-in-hand.js'

test('toRows has a plain row for each item, whatever became of it', async () => {
  const hands = new ItemsInHand<string>()
  const job = batch(['a', 'b', 'c', 'd'], hands.begin, { concurrency: 3 })
  hands.of('b').fail(new VmNotFoundError({ reason: 'gone' }))
  hands.of('a').succeed()
  await job.cancel('not needed')
  await turn()
  const report = await job.unwrap()
  const idOf = (item: string): string => hands.of(item).job.id
  expect(report.toRows()).toEqual([
    { index: 0, item: 'a', outcome: 'succeeded', attempts: 1, jobId: idOf('a'), code: '', message: '' },
    {
      index: 1,
      item: 'b',
      outcome: 'failed',
      attempts: 1,
      jobId: idOf('b'),
      code: 'VM_NOT_FOUND',
      message: 'Cannot start: gone.',
    },
    {
      index: 2,
      item: 'c',
      outcome: 'cancelled',
      attempts: 1,
      jobId: idOf('c'),
      code: 'JOB_CANCELLED',
      message: 'Cannot start: not needed.',
    },
    {
      index: 3,
      item: 'd',
      outcome: 'never started',
      attempts: 0,
      jobId: '',
      code: 'JOB_CANCELLED',
      message: 'Cannot run the batch: the batch was stopped before its turn.',
    },
  ])
})

test('a row names a VM by its name, and another item by what it is', async () => {
  const { vm } = await fakeServer()
  const items = [vm, 7, { size: 2 }, undefined]
  const report = await batch(items, () => Promise.resolve(err('too bad'))).unwrap()
  expect(report.toRows().map(({ item }) => item)).toEqual(['web-1', '7', '{ size: 2 }', 'undefined'])
  expect(report.toRows()[0]).toMatchObject({ outcome: 'failed', code: '', message: 'too bad' })
})

test('the JSON of a cancelled batch names the items that were stopped and those that were never started', async () => {
  const hands = new ItemsInHand<string>()
  const job = batch(['a', 'b', 'c'], hands.begin, { concurrency: 1 })
  await job.cancel('not needed')
  const report: unknown = JSON.parse(JSON.stringify(await job.unwrap()))
  expect(report).toEqual({
    isSuccess: false,
    counts: { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 3 },
    stopped: { by: 'caller', reason: 'not needed' },
    failures: [],
    cancelled: [{ index: 0, item: 'a', jobId: hands.of('a').job.id, attempts: 1 }],
    neverStarted: [
      { index: 1, item: 'b' },
      { index: 2, item: 'c' },
    ],
  })
})

test('the JSON of a batch that was not stopped has no items that were cancelled', async () => {
  const report = await batch([1], () => Promise.resolve(ok())).unwrap()
  expect(report.toJSON()).toMatchObject({ cancelled: [], neverStarted: [] })
})
