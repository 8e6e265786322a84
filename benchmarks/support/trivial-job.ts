/** A job that ends with the next microtask, to measure the code that runs it. */
import type { Job } from 'awaitvm'
import { createJob } from 'awaitvm/testing'

export function trivialJob(): Job<void, never> {
  const { job, succeed } = createJob<void, never>()
  queueMicrotask(succeed)
  return job
}
