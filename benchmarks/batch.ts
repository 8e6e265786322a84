/**
 * How long does a batch with a signal take, compared with p-queue alone without one? 100,000 trivial jobs, 64 at a time.
 *
 * "all added" uses p-queue as its README shows: every task is added, then `onIdle`. "a few at a time" waits before each with
 * `onSizeLessThan`, so that it holds no more than a batch does.
 */
import { batch } from 'awaitvm'
import PQueue from 'p-queue'
import { alternate } from './support/alternate.js'
import { compare, ratioAtMost, report } from './support/figure.js'
import { trivialJob } from './support/trivial-job.js'

const count = 100_000
const concurrency = 64
const items = Array.from({ length: count }, (_, index) => index)
const { signal } = new AbortController()

const milliseconds = (work: () => Promise<void>) => async (): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}

async function allAdded(): Promise<void> {
  const queue = new PQueue({ concurrency })
  for (const _ of items) void queue.add(() => trivialJob())
  await queue.onIdle()
}

async function aFewAtATime(): Promise<void> {
  const queue = new PQueue({ concurrency })
  for (const _ of items) {
    await queue.onSizeLessThan(concurrency)
    void queue.add(() => trivialJob())
  }
  await queue.onIdle()
}

async function reported(): Promise<void> {
  const { counts } = await batch(items, trivialJob, { concurrency, signal }).unwrap()
  if (counts.succeeded !== count) throw new Error('some are lost')
}

async function read(): Promise<void> {
  let outcomes = 0
  for await (const _ of batch(items, trivialJob, { concurrency, signal }).outcomes()) outcomes += 1
  if (outcomes !== count) throw new Error('some are lost')
}

const samples = await alternate(
  {
    'batch of 100,000': milliseconds(reported),
    'the same, read by outcomes()': milliseconds(read),
    'p-queue, all added': milliseconds(allAdded),
    'p-queue, a few at a time': milliseconds(aFewAtATime),
  },
  { rounds: 11, warmUps: 3 },
)
report([
  compare(samples, 'batch of 100,000', 'p-queue, all added', 'ms', ratioAtMost(1.2)),
  compare(samples, 'batch of 100,000', 'p-queue, a few at a time', 'ms'),
  compare(samples, 'the same, read by outcomes()', 'p-queue, all added', 'ms'),
])
