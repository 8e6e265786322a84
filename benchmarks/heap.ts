/** How many bytes of heap does a pending job take, compared with other kinds of pending work? */
import { setImmediate } from 'node:timers/promises'
import { createJob } from 'awaitvm/testing'
import PCancelable from 'p-cancelable'
import { alternate, garbageCollector } from './support/alternate.js'
import { pollPending } from './support/azure-poller.js'
import { compare, report, valueAtMost } from './support/figure.js'

const count = 100_000

const bytesOf = (make: () => unknown) => async (): Promise<number> => {
  const kept = new Array<unknown>(count)
  const before = await usedHeap()
  for (let i = 0; i < count; i += 1) kept[i] = make()
  const after = await usedHeap()
  // This use keeps it alive until now.
  if (kept.length !== count) throw new Error('some are lost')
  return (after - before) / count
}

async function usedHeap(): Promise<number> {
  // A poller becomes pending some turns after its creation.
  for (let turn = 0; turn < 5; turn += 1) {
    await setImmediate()
    garbageCollector()()
  }
  return process.memoryUsage().heapUsed
}

const noop = (): void => undefined

const awaited = <T extends PromiseLike<unknown>>(pending: T): T => {
  void pending.then(noop)
  return pending
}

/** Keeps the function that settles the promise, as a job does. */
function resolverOf(use: (promise: Promise<unknown>) => unknown): unknown {
  let resolver: unknown
  const promise = new Promise((resolve) => {
    resolver = resolve
  })
  void use(promise)
  return resolver
}

function cancelable(): PCancelable<unknown> {
  return new PCancelable((_resolve, _reject, onCancel) => {
    onCancel.shouldReject = false
    onCancel(noop)
  })
}

const samples = await alternate(
  {
    'pending job': bytesOf(() => createJob().job),
    'native promise': bytesOf(() => resolverOf(noop)),
    'pending job, awaited': bytesOf(() => awaited(createJob().job)),
    'native promise, awaited': bytesOf(() => resolverOf(awaited)),
    'p-cancelable, awaited': bytesOf(() => awaited(cancelable())),
    'poller of @azure/core-lro, awaited': bytesOf(() => awaited(pollPending())),
  },
  { rounds: 3, warmUps: 1 },
)
report([
  compare(samples, 'pending job', 'native promise', 'bytes', valueAtMost(350)),
  compare(samples, 'pending job, awaited', 'native promise, awaited', 'bytes'),
  compare(samples, 'p-cancelable, awaited', 'pending job, awaited', 'bytes'),
  compare(samples, 'poller of @azure/core-lro, awaited', 'pending job, awaited', 'bytes'),
])
