import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { jobChannelName, VmNotFoundError, type JobEvent } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

const events: JobEvent[] = []
const listener = (message: unknown): void => void events.push(message as JobEvent)
const target = { type: 'vm', id: '1', name: 'web-1' } as const

beforeEach(() => {
  events.length = 0
  subscribe(jobChannelName, listener)
})
afterEach(() => {
  unsubscribe(jobChannelName, listener)
})

test('publishes the start, each progress and the end of a job', async () => {
  const { job, progress, succeed } = createJob<number>({ target })
  progress({ percent: 50 })
  succeed(3)
  const common = { id: job.id, operation: 'vm.start', target, startedAt: job.startedAt }
  expect(jobChannelName).toBe('awaitvm:job')
  expect(events).toEqual([
    { ...common, type: 'start', progress: { percent: 0 } },
    { ...common, type: 'progress', progress: { percent: 50 } },
    { ...common, type: 'end', progress: { percent: 100 }, finishedAt: job.finishedAt, result: job.result },
  ])
})

test('publishes failures that nobody looks at', () => {
  const { fail } = createJob()
  const error = new VmNotFoundError({ reason: 'gone' })
  fail(error)
  expect(events.at(-1)?.result?._unsafeUnwrapErr()).toBe(error)
})

test('publishes the cancellation as a job of its own', async () => {
  const { job } = createJob({ target })
  await job.cancel()
  expect(events.filter(({ operation }) => operation === 'job.cancel').map(({ type }) => type)).toEqual(['start', 'end'])
})

test('makes no message while nobody listens', () => {
  unsubscribe(jobChannelName, listener)
  const dates = vi.spyOn(globalThis, 'Date')
  try {
    const { progress, succeed } = createJob()
    progress({ percent: 5 })
    succeed()
    expect(dates).not.toHaveBeenCalled()
  } finally {
    dates.mockRestore()
  }
  expect(events).toEqual([])
})
