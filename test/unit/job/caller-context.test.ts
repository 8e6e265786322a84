import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { Duplex } from 'node:stream'
import { batch, ok, ResourceBusyError, type BatchContext, type Result } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'

const caller = new AsyncLocalStorage<string>()
const as = <T>(name: string, call: () => T): T => caller.run(name, call)
const now = (): string | undefined => caller.getStore()

test('listeners to progress are called in the context of the caller', () => {
  const seen: unknown[] = []
  const note = (): void => void seen.push(now())
  const { job, progress, succeed } = as('options', () => createJob({ onProgress: note }))
  as('listener', () => job.onProgress(note))
  as('host', () => progress({ percent: 5 }))
  as('host', () => succeed())
  expect(seen).toEqual(['options', 'listener', 'options', 'listener'])
})

test('what awaits a job, or goes through its progress, stays in its context', async () => {
  const { job, progress, succeed } = createJob()
  const seen: unknown[] = []
  const watching = as('watcher', async () => {
    for await (const _ of job) seen.push(now())
    seen.push(now())
  })
  const waiting = as('waiter', () => job.then(() => seen.push(now())))
  const awaiting = as('awaiter', async () => {
    await job
    seen.push(now())
  })
  await turn()
  as('host', () => progress({ percent: 5 }))
  await turn()
  as('host', () => succeed())
  await Promise.all([watching, waiting, awaiting])
  expect(seen.sort()).toEqual(['awaiter', 'waiter', 'watcher', 'watcher', 'watcher', 'watcher'])
})

test('a job that waited in line is worked on in the context of its own caller, and is told there of its progress', async () => {
  const seen: unknown[] = []
  const { driver, vm } = await fakeServer({
    maxConcurrentOperations: 1,
    answers: { 'vm.pause': () => (seen.push(['work', now()]), Promise.resolve('paused' as const)) },
  })
  const first = as('first', () => vm.start())
  const second = as('second', () => vm.pause({ onProgress: ({ phase }) => seen.push([phase, now()]) }))
  const third = as('third', () => vm.getState())
  as('host', () => driver.last.succeed('running'))
  await first
  await second
  driver.last.succeed('paused')
  await third
  expect(seen).toEqual([
    ['queued', 'second'],
    [undefined, 'second'],
    ['work', 'second'],
    [undefined, 'second'],
  ])
})

test('a handler that cancels is called in the context of the work', async () => {
  const seen: unknown[] = []
  const { job, task, succeed } = createJob()
  as('driver', () =>
    task.cancelWith(() => {
      seen.push(now())
      succeed()
    }),
  )
  await as('canceller', () => job.cancel())
  expect(seen).toEqual(['driver'])
})

test('the functions and the list of a batch are called in the context of the batch, not in that of its reader or of what ends its items', async () => {
  const seen = new Set<unknown>()
  const note = <T>(value: T): T => {
    seen.add(now())
    return value
  }
  async function* list(): AsyncGenerator<number> {
    try {
      for (let item = 0; ; item += 1) yield note(await turn(item))
    } finally {
      note(0)
    }
  }
  let attempts = 0
  const operation = async (_item: number, { attempt }: BatchContext): Promise<Result<void, ResourceBusyError>> => {
    note(0)
    await as('host', () => turn())
    note(0)
    attempts += 1
    if (attempt === 1) throw new ResourceBusyError({ reason: 'once' })
    return ok()
  }
  const options = {
    concurrency: 2,
    perHostConcurrency: 1,
    hostOf: (item: number) => note(item % 2),
    priority: (item: number) => note(item),
    retry: { attempts: 2, backoff: { initialMs: 0 } },
  }
  const job = as('batch', () => batch(list(), operation, options))
  await as('reader', async () => {
    let read = 0
    for await (const _ of job.outcomes()) if ((read += 1) === 20) break
  })
  await as('canceller', () => job.cancel())
  expect(attempts).toBeGreaterThan(20)
  expect([...seen]).toEqual(['batch'])
})

test('events are read in the context of the reader', async () => {
  const { driver, server } = await fakeServer()
  const seen: unknown[] = []
  const reading = as('reader', async () => {
    for await (const _ of server.events()) {
      seen.push(now())
      return
    }
  })
  as('host', () => driver.emit({ type: 'created', vmId: '1', name: 'web-1', at: new Date() }))
  await reading
  expect(seen).toEqual(['reader'])
})

test('a console speaks in the context of the one who opened it', async () => {
  const host = as('host', () => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() }))
  const { vm } = await fakeServer({ answers: { 'vm.console': () => Promise.resolve(host) } })
  const heard = new Promise((resolve) => {
    as('caller', () => vm.console().on('data', () => resolve(now())))
  })
  await turn()
  as('host', () => host.push('login: '))
  expect(await heard).toBe('caller')
})

test('failures that nobody looked at are told in the context of connect', async () => {
  const seen: unknown[] = []
  const { driver, server, vm } = await as('connect', () =>
    fakeServer({}, { onUnobservedFailure: () => seen.push(now()) }),
  )
  void as('caller', () => vm.start())
  driver.last.fail(new ResourceBusyError({ reason: 'locked' }))
  await turn()
  await as('closer', () => server.close().unwrap())
  expect(seen).toEqual(['connect'])
})
