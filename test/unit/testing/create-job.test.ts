import { createJob } from 'awaitvm/testing'
import { expect, test } from 'vitest'

test('the task is the side of the job that a driver sees', () => {
  const target = { type: 'vm', id: '1', name: 'web-1' } as const
  const { job, task } = createJob({ operation: 'vm.pause', target })
  expect(task).toMatchObject({ operation: 'vm.pause', target })
  task.progress({ percent: 30 })
  expect(job.progress.percent).toBe(30)
})

test('wrong options give a job that has failed', () => {
  expect(createJob({ timeoutMs: -1 }).job.retCode).toBe('INVALID_ARGUMENT')
})

test('a signal that is aborted gives a job that was cancelled', () => {
  expect(createJob({ signal: AbortSignal.abort() }).job.retCode).toBe('JOB_CANCELLED')
})
