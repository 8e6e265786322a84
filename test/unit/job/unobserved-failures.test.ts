import { connect, ResourceBusyError, type Job, type UnobservedFailure } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeServer, type FakeServer } from '../../support/fake-server.js'
import { collectUntil } from '../../support/garbage-collection.js'
import { uncaughtIn } from '../../support/uncaught.js'

const busy = (): ResourceBusyError => new ResourceBusyError({ reason: 'it is locked' })

interface Watched extends FakeServer {
  readonly failures: UnobservedFailure[]
  /** Starts the VM and lets that fail. */
  failingStart(): Job<void>
  /** Resolves once the driver's failures have been taken in. */
  settled(): Promise<void>
}

async function watched(): Promise<Watched> {
  const failures: UnobservedFailure[] = []
  const server = await fakeServer({}, { onUnobservedFailure: (failure) => failures.push(failure) })
  const failingStart = (): Job<void> => {
    const job = server.vm.start()
    server.driver.last.fail(busy())
    return job
  }
  const settled = async (): Promise<void> => {
    const info = server.server.getInfo()
    server.driver.last.succeed({})
    await info
  }
  return { ...server, failures, failingStart, settled }
}

describe('when the server is closed', () => {
  test('each is told of once', async () => {
    const { server, failures, failingStart } = await watched()
    const jobs = [failingStart(), failingStart()]
    await server.close()
    await server.close()
    expect(failures.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
    expect(failures[0]).toMatchObject({
      operation: 'vm.start',
      target: { name: 'web-1' },
      error: { code: 'RESOURCE_BUSY' },
    })
    for (const job of jobs) await job
    expect(await collectUntil(() => failures.length !== 2)).toBe(false)
  })

  test('those that the closing itself ended are told of, too', async () => {
    const { server, vm, failures } = await watched()
    void vm.pause()
    await server.close()
    expect(failures.map(({ error }) => error.code)).toEqual(['OUTCOME_UNKNOWN'])
  })

  test.for<[string, (job: Job<void>) => unknown]>([
    ['await', (job) => job],
    ['then', (job) => void job.then()],
    ['wait', (job) => void job.wait({ timeoutMs: 1 })],
    ['unwrap', (job) => void job.unwrap().catch(() => undefined)],
    ['result', (job) => job.result],
    ['retCode', (job) => job.retCode],
    ['onProgress', (job) => job.onProgress(() => undefined)],
    ['toResultAsync', (job) => void job.toResultAsync()],
    ['the iterator', (job) => job[Symbol.asyncIterator]()],
    ['cancel', (job) => void job.cancel()],
    ['the end of a scope', (job) => void job[Symbol.asyncDispose]()],
    ['its ref', (job) => job.ref.result],
  ])('not one that was looked at by %s, before or after', async ([, look]) => {
    const { server, failures, failingStart, settled } = await watched()
    await Promise.resolve(look(failingStart()))
    const late = failingStart()
    await settled()
    await Promise.resolve(look(late))
    await server.close()
    expect(failures).toEqual([])
  })

  test('looking at its status and progress is not looking at its outcome', async () => {
    const { server, failures, failingStart } = await watched()
    const job = failingStart()
    expect(job.status).toBe('running')
    expect(job.progress.percent).toBe(0)
    await server.close()
    expect(failures).toHaveLength(1)
  })

  test('a listener that throws is an uncaught exception, and the others are told of', async () => {
    let told = 0
    const error = new Error('of the listener')
    const uncaught = await uncaughtIn(async () => {
      const { server, driver, vm } = await fakeServer(
        {},
        {
          onUnobservedFailure: () => {
            told += 1
            throw error
          },
        },
      )
      const jobs = [vm.start(), vm.pause()]
      for (const call of driver.calls) call.fail(busy())
      expect((await server.close()).isOk()).toBe(true)
      expect(jobs).toHaveLength(2)
    })
    expect(told).toBe(2)
    expect(uncaught).toEqual([error, error])
  })
})

describe('when the handle is garbage collected', () => {
  test('it is told of once', async () => {
    const { driver, server, failures, failingStart, settled } = await watched()
    ;(() => void failingStart())()
    driver.calls.length = 0
    await settled()
    expect(failures).toEqual([])
    expect(await collectUntil(() => failures.length > 0)).toBe(true)
    expect(failures[0]).toMatchObject({ operation: 'vm.start', error: { code: 'RESOURCE_BUSY' } })
    await server.close()
    expect(failures).toHaveLength(1)
  })

  test('not as long as its handle is in use', async () => {
    const { driver, failures, failingStart, settled } = await watched()
    const job = failingStart()
    driver.calls.length = 0
    await settled()
    expect(await collectUntil(() => failures.length > 0)).toBe(false)
    expect(job.retCode).toBe('RESOURCE_BUSY')
  })

  test('also of connect, which has no server', async () => {
    const failures: UnobservedFailure[] = []
    ;(() => void connect('nowhere:', { onUnobservedFailure: (failure) => failures.push(failure) }))()
    expect(await collectUntil(() => failures.length > 0)).toBe(true)
    expect(failures).toMatchObject([{ operation: 'connect', error: { code: 'INVALID_ARGUMENT' } }])
  })
})
