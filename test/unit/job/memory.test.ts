import { VmNotFoundError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'
import { heapUsed } from '../../support/garbage-collection.js'

const count = 100_000
/** What the test runner itself may take between two measurements; one leaked job takes some 300 bytes. */
const allowedGrowth = 8_000_000

/** How much the heap grows by a second round that equals the first. */
async function growthOf(round: () => unknown): Promise<number> {
  await round()
  const before = await heapUsed()
  await round()
  return (await heapUsed()) - before
}

const controller = new AbortController()

test.for<[string, () => unknown]>([
  ['were never ended', () => void createJob()],
  ['succeeded', () => createJob().succeed()],
  [
    'were watched, and dropped while they ran',
    () => {
      const { job, task } = createJob()
      task.cancelWith(() => undefined)
      job.onProgress(() => undefined)
      void job.then()
    },
  ],
  [
    'ended with a signal and waiters',
    () => {
      const { job, succeed } = createJob({ signal: controller.signal })
      void job.wait({ signal: controller.signal, timeoutMs: 60_000 })
      succeed()
    },
  ],
])('100,000 jobs that %s leave nothing', async ([, make]) => {
  const growth = await growthOf(() => {
    for (let index = 0; index < count; index += 1) make()
  })
  expect(growth).toBeLessThan(allowedGrowth)
})

test('100,000 calls of a server leave nothing, those that failed unobserved included', async () => {
  let failures = 0
  const { driver, server, vm } = await fakeServer(
    { answers: { 'vm.getState': () => 'stopped' } },
    { onUnobservedFailure: () => (failures += 1), maxConcurrentOperations: 100 },
  )
  const growth = await growthOf(async () => {
    for (let index = 0; index < count; index += 1) {
      const job = vm.getState()
      if (index % 100 === 0) {
        void vm.start()
        driver.last.fail(new VmNotFoundError({ reason: 'gone' }))
      }
      driver.calls.length = 0
      if (index % 100 === 99) await job
    }
  })
  expect(growth).toBeLessThan(allowedGrowth)
  await server.close()
  expect(failures).toBe(2 * (count / 100))
})
