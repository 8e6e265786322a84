/**
 * How far does the heap grow, garbage included, while a batch of 100,000 jobs is read by `outcomes()`, compared with p-queue after
 * adding them all, and with a batch that keeps its outcomes for the report?
 */
import { setImmediate } from 'node:timers/promises'
import { batch } from 'awaitvm'
import PQueue from 'p-queue'
import { alternate, garbageCollector } from './support/alternate.js'
import { compare, report, valueAtMost } from './support/figure.js'
import { trivialJob } from './support/trivial-job.js'

const count = 100_000
const concurrency = 64
const megabyte = 1_000_000

/** The peak growth of the heap, sampled after every 100 jobs. */
const peakOf = (work: (look: () => void) => Promise<void>) => async (): Promise<number> => {
  for (let turn = 0; turn < 5; turn += 1) {
    await setImmediate()
    garbageCollector()()
  }
  const idle = process.memoryUsage().heapUsed
  let peak = idle
  let looks = 0
  await work(() => {
    looks += 1
    if (looks % 100 === 0) peak = Math.max(peak, process.memoryUsage().heapUsed)
  })
  if (looks !== count) throw new Error('some are lost')
  return (peak - idle) / megabyte
}

function* numbers(): Generator<number> {
  for (let index = 0; index < count; index += 1) yield index
}

async function read(look: () => void): Promise<void> {
  for await (const _ of batch(numbers(), trivialJob, { concurrency }).outcomes()) look()
}

async function kept(look: () => void): Promise<void> {
  const begin = (): ReturnType<typeof trivialJob> => {
    look()
    return trivialJob()
  }
  await batch(numbers(), begin, { concurrency }).unwrap()
}

async function allAdded(look: () => void): Promise<void> {
  const queue = new PQueue({ concurrency })
  const begin = async (): Promise<void> => {
    look()
    await trivialJob()
  }
  for (const _ of numbers()) void queue.add(begin)
  await queue.onIdle()
}

const samples = await alternate(
  {
    'peak heap of a batch of 100,000, read by outcomes()': peakOf(read),
    'peak heap of a batch of 100,000, kept for the report': peakOf(kept),
    'p-queue, all added': peakOf(allAdded),
  },
  { rounds: 5, warmUps: 1 },
)
report([
  compare(samples, 'peak heap of a batch of 100,000, read by outcomes()', 'p-queue, all added', 'MB', valueAtMost(50)),
  compare(samples, 'peak heap of a batch of 100,000, kept for the report', 'p-queue, all added', 'MB'),
])
