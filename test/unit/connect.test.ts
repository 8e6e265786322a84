import { connect, type ConnectOptions } from 'awaitvm'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { soon } from '../../src/testing/conformance/deadline.js'
import { FakeDriver, hostInfo } from '../support/fake-driver.js'

const known =
  'Known are: embedded:, qmp:, parallels:, parallels+ssh:, ' +
  'qemu:, qemu+unix:, qemu+tcp:, qemu+tls:, qemu+ssh:, qemu+ext:, test:, test+unix:, test+tcp:, test+tls:, test+ssh:, test+ext:.'

const openEmbedded = vi.hoisted(() => vi.fn())
vi.mock('../../src/drivers/embedded/open.js', () => ({ openEmbedded }))

afterEach(() => {
  openEmbedded.mockReset()
})

test('opens the driver of the scheme, by default the embedded one', async () => {
  const driver = new FakeDriver({ answers: { 'server.getInfo': () => hostInfo } })
  openEmbedded.mockResolvedValue(driver)
  const job = connect()
  expect(job).toMatchObject({ operation: 'connect', target: { type: 'host', name: 'embedded:' } })
  await using server = (await job)._unsafeUnwrap()
  expect(server.uri).toBe('embedded:')
  expect(await server.getInfo().unwrap()).toEqual(hostInfo)
  expect(openEmbedded.mock.calls[0]?.[0]).toEqual(new URL('embedded:'))
})

test('hands the driver the URI whole, and shows it without the password', async () => {
  openEmbedded.mockResolvedValue(new FakeDriver())
  const job = connect('embedded://user:secret@host/dir')
  expect(job.target?.name).toBe('embedded://user@host/dir')
  const server = (await job)._unsafeUnwrap()
  expect(server.uri).toBe('embedded://user@host/dir')
  expect((openEmbedded.mock.calls[0]?.[0] as URL).password).toBe('secret')
})

describe('a URI that is wrong', () => {
  test.for([
    ['nowhere:', `Cannot connect to host "nowhere:": no host has the scheme "nowhere". ${known}`],
    ['', `Cannot connect to host "": it is not a URI. ${known}`],
    ['/var/vms', `Cannot connect to host "/var/vms": it is not a URI. ${known}`],
    ['toString:', `Cannot connect to host "tostring:": no host has the scheme "tostring". ${known}`],
    ['constructor:', `Cannot connect to host "constructor:": no host has the scheme "constructor". ${known}`],
  ] as const)('%s', async ([uri, message]) => {
    const job = connect(uri)
    expect(job.status).toBe('finished')
    const error = (await job)._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'uri', message })
  })

  test.for([
    'nowhere://user:secret@host/',
    'embedded://user:secret@ho st',
    'nowhere://user:se@cret@host:x',
    '//user:secret@host',
  ])('%s shows no password', async (uri) => {
    const job = connect(uri)
    const error = (await job)._unsafeUnwrapErr()
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect([JSON.stringify(error), error.message, error.stack, JSON.stringify(job.target)].join()).not.toMatch(
      /secret|cret@/,
    )
  })

  test.for([null, 5, {}, Symbol('x'), Object.create(null) as unknown])('%o', (uri) => {
    expect(connect(uri as never).retCode).toBe('INVALID_ARGUMENT')
  })
})

test.for<[string, unknown]>([
  ['options.maxConcurrentOperations', { maxConcurrentOperations: 0 }],
  ['options.maxConcurrentOperations', { maxConcurrentOperations: Number.NaN }],
  ['options.maxConcurrentOperations', { maxConcurrentOperations: '5' }],
  ['options.onUnobservedFailure', { onUnobservedFailure: 'log' }],
  ['timeoutMs', { timeoutMs: -1 }],
  ['options', []],
])('%s that is wrong is refused before anything is opened: %o', async ([path, options]) => {
  const error = (await connect('embedded:', options as ConnectOptions))._unsafeUnwrapErr()
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path })
  expect(openEmbedded).not.toHaveBeenCalled()
})

test('an error of the driver is that of the job', async () => {
  openEmbedded.mockRejectedValue(new Error('no such directory'))
  expect((await connect())._unsafeUnwrapErr()).toMatchObject({
    code: 'HOST_ERROR',
    message: 'Cannot connect to host "embedded:": no such directory.',
    native: { driver: 'connect' },
  })
})

test('can be cancelled from the start', async () => {
  openEmbedded.mockResolvedValue(new FakeDriver())
  const job = connect()
  expect(job.isCancelable).toBe(true)
  expect((await job.cancel()).isOk()).toBe(true)
  expect(job.retCode).toBe('JOB_CANCELLED')
  expect(openEmbedded).not.toHaveBeenCalled()
})

test('a connection that comes too late is closed', async () => {
  vi.useFakeTimers()
  try {
    const driver = new FakeDriver()
    let open: (driver: FakeDriver) => void = () => undefined
    openEmbedded.mockReturnValue(new Promise((resolve) => (open = resolve)))
    const job = connect('embedded:', { timeoutMs: 1000 })
    await vi.waitFor(() => expect(openEmbedded).toHaveBeenCalled(), soon)
    await vi.advanceTimersByTimeAsync(2000)
    expect(job.retCode).toBe('TIMEOUT')
    open(driver)
    await vi.advanceTimersByTimeAsync(0)
    expect(driver.closings).toBe(1)
  } finally {
    vi.useRealTimers()
  }
})
