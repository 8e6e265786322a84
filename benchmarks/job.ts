/**
 * How long does it take to create, settle and await a job, compared with others that are settled with the same Result?
 *
 * As with a host, several are pending and the answer comes later: 100 are created, then settled, then awaited. The
 * job is what each call of the SDK creates: the core and its handle. `createJob` adds a task, three closures and an object for
 * the test.
 */
import { ok, type Result } from 'awaitvm'
import { createJob, type JobInHand } from 'awaitvm/testing'
import PCancelable from 'p-cancelable'
import { JobCore } from '../src/job/job-core.js'
import { Job } from '../src/job/job.js'
import { alternate, nanoseconds } from './support/alternate.js'
import { pollEnded } from './support/azure-poller.js'
import { defer, type Deferred } from './support/deferred.js'
import { compare, ratioAtLeast, ratioAtMost, report } from './support/figure.js'

type Outcome = Result<number, never>

// A function for each, and none shared: V8 could not optimise a shared one for any of them.

async function jobs(count: number): Promise<void> {
  const cores: JobCore<number, never>[] = []
  const handles: Job<number, never>[] = []
  for (let i = 0; i < count; i += 1) {
    const core = new JobCore<number, never>('vm.start')
    cores.push(core)
    handles.push(new Job(core))
  }
  for (const core of cores) core.succeed(1)
  for (const handle of handles) await handle
}

async function jobsInHand(count: number): Promise<void> {
  const made: JobInHand<number, never>[] = []
  for (let i = 0; i < count; i += 1) made.push(createJob())
  for (const { succeed } of made) succeed(1)
  for (const { job } of made) await job
}

async function promises(count: number): Promise<void> {
  const made: Deferred<Outcome>[] = []
  for (let i = 0; i < count; i += 1) made.push(defer())
  for (const { resolve } of made) resolve(ok(1))
  for (const { promise } of made) await promise
}

async function cancelables(count: number): Promise<void> {
  const resolvers: ((outcome: Outcome) => void)[] = []
  const handles: PCancelable<Outcome>[] = []
  for (let i = 0; i < count; i += 1) {
    const handle = new PCancelable<Outcome>((resolve, _reject, onCancel) => {
      onCancel.shouldReject = false
      resolvers.push(resolve)
    })
    handles.push(handle)
  }
  for (const resolve of resolvers) resolve(ok(1))
  for (const handle of handles) await handle
}

/** The poller settles itself at its first poll. */
async function pollers(count: number): Promise<void> {
  const made: PromiseLike<Outcome>[] = []
  for (let i = 0; i < count; i += 1) made.push(pollEnded(ok(1)))
  for (const poller of made) await poller
}

const samples = await alternate(
  {
    'native promise': nanoseconds(promises, 100, 500),
    job: nanoseconds(jobs, 100, 500),
    'job of createJob': nanoseconds(jobsInHand, 100, 500),
    'p-cancelable': nanoseconds(cancelables, 100, 100),
    'poller of @azure/core-lro': nanoseconds(pollers, 100, 30),
  },
  { rounds: 41, warmUps: 5 },
)
report([
  compare(samples, 'job', 'native promise', 'ns', ratioAtMost(3)),
  compare(samples, 'job of createJob', 'native promise', 'ns'),
  compare(samples, 'p-cancelable', 'job', 'ns'),
  compare(samples, 'poller of @azure/core-lro', 'job', 'ns', ratioAtLeast(30)),
])
