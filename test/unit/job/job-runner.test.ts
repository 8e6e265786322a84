import { inspect } from 'node:util'
import {
  batch,
  ConnectionError,
  HostToolNotFoundError,
  InsufficientResourcesError,
  JobCancelledError,
  NotSupportedError,
  OutcomeUnknownError,
  PermissionDeniedError,
  ProtocolError,
  ResourceBusyError,
  SnapshotNotFoundError,
  type JobRef,
  type Result,
  type VmError,
} from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { recordOf } from '../../support/fake-driver.js'
import { fakeServer } from '../../support/fake-server.js'
import { uncaughtIn } from '../../support/uncaught.js'
import { hostTask } from '../../../src/driver/host-task.js'

const turn = async (): Promise<void> => await new Promise(setImmediate)

describe('the limit of operations at once', () => {
  test('is honoured, in order, and a place is given to the next', async () => {
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 2 })
    const jobs = [vm.start(), vm.pause(), vm.resume(), vm.reset(), vm.suspend()]
    let most = 0
    let done = 0
    while (done < jobs.length) {
      const running = driver.calls.length - done
      most = Math.max(most, running)
      driver.calls[done]?.succeed('running')
      done += 1
      await turn()
    }
    expect(most).toBe(2)
    expect(driver.operationsCalled).toEqual(['vm.start', 'vm.pause', 'vm.resume', 'vm.reset', 'vm.suspend'])
    expect(jobs.map((job) => job.retCode)).toEqual(jobs.map(() => 'SUCCESS'))
  })

  test('comes from the options, or else from the driver', async () => {
    const fromOptions = await fakeServer({ maxConcurrentOperations: 1 }, { maxConcurrentOperations: 3 })
    for (let count = 0; count < 5; count += 1) void fromOptions.vm.start()
    expect(fromOptions.driver.calls).toHaveLength(3)
  })

  test('a failure gives its place back, too', async () => {
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    const first = vm.start()
    const second = vm.pause()
    driver.last.fail(new Error('no'))
    await first
    await turn()
    driver.last.succeed('paused')
    expect((await second).isOk()).toBe(true)
  })

  test('an operation whose time is over keeps its place until the host has ended it', async () => {
    const { driver, server, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    const expired = vm.start({ timeoutMs: 1 })
    const queued = vm.pause()
    expect((await expired)._unsafeUnwrapErr().code).toBe('OUTCOME_UNKNOWN')
    expect(driver.calls).toHaveLength(1)
    expect((await server.getJobs().unwrap()).map(({ operation }) => operation)).toEqual(['vm.pause'])
    driver.calls[0]?.succeed('running')
    await turn()
    expect(driver.operationsCalled).toEqual(['vm.start', 'server.getJobs', 'vm.pause'])
    driver.last.succeed('paused')
    expect((await queued).isOk()).toBe(true)
  })

  test('a job in line has the phase queued, until it begins', async () => {
    const { driver, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    const first = vm.start()
    const phases: unknown[] = []
    const queued = vm.pause({ onProgress: ({ phase }) => phases.push(phase) })
    expect(queued.progress).toEqual({ percent: 0, phase: 'queued' })
    driver.last.succeed('running')
    await first
    await turn()
    expect(driver.operationsCalled).toEqual(['vm.start', 'vm.pause'])
    expect(queued.progress).toEqual({ percent: 0 })
    expect(queued.isCancelable).toBe(false)
    driver.last.succeed('paused')
    await queued
    expect(queued.progress).toEqual({ percent: 100 })
    expect(phases).toEqual(['queued', undefined, undefined])
  })

  test('a job that was cancelled in line is forgotten', async () => {
    const { driver, server, vm } = await fakeServer({ maxConcurrentOperations: 1 })
    const first = vm.start()
    const [second, third] = [vm.pause(), vm.reset()]
    await second.cancel()
    expect((await server.getJobs().unwrap()).map(({ id }) => id)).toEqual([first.id, third.id])
    driver.calls[0]?.succeed('running')
    await turn()
    expect(driver.operationsCalled).toEqual(['vm.start', 'server.getJobs', 'vm.reset'])
  })

  test('waiting for a state and following a job of the host take no place', async () => {
    const { driver, server, vm } = await fakeServer({
      maxConcurrentOperations: 1,
      features: new Set(['server.events.global']),
    })
    const [waiting, attached, start] = [vm.waitForState('paused'), server.attachJob('task-1'), vm.start()]
    expect(driver.operationsCalled).toEqual(['vm.getState', 'server.attachJob', 'vm.start'])
    expect([waiting, attached, start].map(({ progress }) => progress.phase)).toEqual([undefined, undefined, undefined])
  })
})

test('an operation runs already when the call returns', async () => {
  const { driver, vm } = await fakeServer()
  void vm.start()
  expect(driver.operationsCalled).toEqual(['vm.start'])
})

describe('server.close', () => {
  test('settles every job, in line and in flight, and waits for the driver', async () => {
    let close = (): void => undefined
    const { driver, server, vm } = await fakeServer({
      maxConcurrentOperations: 1,
      close: () => new Promise((resolve) => (close = resolve)),
    })
    const inFlight = vm.start()
    const inLine = vm.pause()
    const closing = server.close()
    expect((await inLine)._unsafeUnwrapErr()).toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: false,
      message: 'Cannot pause VM "web-1": the server was closed. Connect again with connect().',
    })
    expect([inFlight.result, closing.result]).toEqual([undefined, undefined])
    close()
    expect((await inFlight)._unsafeUnwrapErr()).toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      message: 'Cannot start VM "web-1": the server was closed. Ask for the state of the VM: it may have taken place.',
    })
    expect(inFlight.status).toBe('unknown')
    expect((await closing).isOk()).toBe(true)
    expect(driver.operationsCalled).toEqual(['vm.start'])
  })

  test('says of what was not sent, and of a question, that there is no connection', async () => {
    const { driver, server, vm } = await fakeServer()
    const jobs: JobRef<unknown>[] = [vm.start(), vm.getState()]
    hostTask(driver.calls[0]!.task).holdBack()
    await server.close()
    expect(jobs.map(({ retCode }) => retCode)).toEqual(['CONNECTION_FAILED', 'CONNECTION_FAILED'])
  })

  test('makes an unknown outcome of a lost connection if something was sent', async () => {
    const { driver, server, vm } = await fakeServer({
      close: async () => {
        for (const call of driver.calls) call.fail(new ConnectionError({ reason: 'the server was closed' }))
        await turn()
      },
    })
    const jobs = [vm.start(), vm.pause()]
    const [sent, heldBack] = driver.calls.map(({ task }) => hostTask(task).holdBack())
    sent?.()
    await server.close()
    expect(jobs.map(({ retCode }) => retCode)).toEqual(['OUTCOME_UNKNOWN', 'CONNECTION_FAILED'])
    expect((await jobs[0])?._unsafeUnwrapErr().message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": the server was closed. Ask for the state of the VM: it may have taken place."`,
    )
    expect(heldBack).toThrow('the server was closed')
  })

  test('lets an operation end with what its driver says of it', async () => {
    const { driver, server, vm } = await fakeServer({
      close: async () => {
        driver.calls[0]?.succeed('stopped')
        await turn()
      },
    })
    const job = vm.stop()
    await server.close()
    expect(job.retCode).toBe('SUCCESS')
  })

  test('settles all if the driver can’t be closed, and says why', async () => {
    const { server, vm } = await fakeServer({ close: () => Promise.reject(new Error('it hangs')) })
    const job = vm.start()
    const error = (await server.close())._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'HOST_ERROR', message: 'Cannot close host "fake:": it hangs.' })
    expect(job.retCode).toBe('OUTCOME_UNKNOWN')
  })

  test('tells the driver by the signal that nobody waits any more', async () => {
    const { driver, server, vm } = await fakeServer()
    const job = vm.start()
    const { signal } = driver.last.task
    await server.close()
    expect(signal.aborted).toBe(true)
    expect(job.retCode).toBe('OUTCOME_UNKNOWN')
  })

  test('calls after it end with ConnectionError, and nothing is sent', async () => {
    const { driver, server, vm } = await fakeServer()
    await server.close()
    const jobs: JobRef<unknown>[] = [
      vm.start(),
      vm.getState(),
      vm.waitForState('running'),
      server.getVmList(),
      server.getJobs(),
    ]
    expect(jobs.map(({ retCode }) => retCode)).toEqual(jobs.map(() => 'CONNECTION_FAILED'))
    expect(driver.calls).toEqual([])
  })

  test('is done once, however often it is called', async () => {
    const { driver, server } = await fakeServer()
    const closings = [server.close(), server.close()]
    await using scoped = server
    expect(scoped).toBe(server)
    expect((await Promise.all(closings)).map((result) => result.isOk())).toEqual([true, true])
    expect(driver.closings).toBe(1)
  })
})

describe('an error that a driver throws', () => {
  const failureWith = async (error: unknown): Promise<VmError> => {
    const { driver, vm } = await fakeServer()
    const job = vm.start()
    driver.last.fail(error)
    return (await job)._unsafeUnwrapErr()
  }

  test('is passed on if the operation declares it', async () => {
    const error = new OutcomeUnknownError({ reason: 'the connection broke' })
    expect(await failureWith(error)).toBe(error)
  })

  test.for([
    new InsufficientResourcesError({ reason: 'EMFILE: too many open files' }),
    new ResourceBusyError({ reason: 'it works on something else' }),
    new HostToolNotFoundError({ reason: 'there is no prlctl' }),
    new PermissionDeniedError({ reason: 'EACCES: permission denied' }),
    new ProtocolError({ reason: 'the file vm.json is damaged' }),
  ])('is passed on by each query and each change if it is of the host itself: $code', async (error) => {
    const { driver, server, vm } = await fakeServer()
    const calls: (() => PromiseLike<Result<unknown, VmError>>)[] = [
      () => server.getInfo(),
      () => server.getVmList(),
      () => server.registerVm('/vms/web-3'),
      () => vm.getState(),
      () => vm.getSnapshotTree(),
      () => vm.getStatistics(),
      () => vm.screenshot(),
      () => vm.sendKeys(['Enter']),
      () => vm.guest.getNetworkAddresses(),
      () => vm.start(),
      () => vm.deleteSnapshot('first'),
    ]
    for (const call of calls) {
      const job = call()
      driver.last.fail(error)
      expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: error.code, retryable: error.retryable })
    }
  })

  test('becomes a HostError if it is not declared, with all that it said', async () => {
    const native = { driver: 'fake', code: 42, message: 'no domain snapshot' }
    const error = new SnapshotNotFoundError({ reason: 'there is no snapshot "x"', hint: 'List them.', native })
    const failure = await failureWith(error)
    expect(failure).toMatchObject({
      code: 'HOST_ERROR',
      message: 'Cannot start VM "web-1": there is no snapshot "x". List them.',
      native,
    })
    expect(failure.cause).toBe(error)
  })

  test('has a native part in any case', async () => {
    const undeclared = new SnapshotNotFoundError({ reason: 'there is none' })
    const failure = await failureWith(undeclared)
    expect(failure.native).toEqual({ driver: 'fake', code: 'SNAPSHOT_NOT_FOUND', message: 'there is none' })
  })

  test('of Node keeps its code', async () => {
    const error = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const failure = await failureWith(error)
    expect(failure).toMatchObject({
      code: 'HOST_ERROR',
      native: { driver: 'fake', code: 'ENOSPC', message: error.message },
    })
    expect(failure.cause).toBe(error)
  })

  test.for([
    new DOMException('Operation canceled', 'AbortError'),
    new JobCancelledError({ reason: 'Operation canceled', native: { driver: 'fake', message: 'Operation canceled' } }),
  ])('that says "cancelled" is a failure if nobody asked for that: $name', async (error) => {
    const { driver, vm } = await fakeServer()
    const job = vm.start()
    driver.last.fail(error)
    const report = await batch([vm], () => job).unwrap()
    const [failed] = report.failed
    expect(report.counts).toMatchObject({ failed: 1, cancelled: 0 })
    expect(failed?.result.error).toMatchObject({
      code: 'HOST_ERROR',
      message: expect.stringMatching(/without being asked: Operation canceled\. .*try again/) as string,
      native: { driver: 'fake', message: 'Operation canceled' },
    })
  })

  test.for([new DOMException('stopped', 'AbortError'), new JobCancelledError({ reason: 'stopped' })])(
    'that says "cancelled" is a cancellation if that was asked for, here or at the host: $name',
    async (error) => {
      const { driver, vm } = await fakeServer()
      const job = vm.start()
      const { task } = driver.last
      task.cancelWith(() => true)
      expect(hostTask(task).isAskedToStop).toBe(false)
      const verdict = job.cancel('enough')
      expect(hostTask(task).isAskedToStop).toBe(true)
      driver.last.fail(error)
      expect((await verdict).isOk()).toBe(true)
      expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' })

      const other = vm.start()
      hostTask(driver.last.task).noteCancel('the administrator has had enough')
      driver.last.fail(error)
      expect((await other)._unsafeUnwrapErr()).toMatchObject({
        code: 'JOB_CANCELLED',
        reason: 'the administrator has had enough',
      })
    },
  )

  test('that says "cancelled" after the request was refused is a failure', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.start()
    driver.last.task.cancelWith(() => false)
    expect((await job.cancel())._unsafeUnwrapErr().code).toBe('JOB_NOT_CANCELABLE')
    driver.last.fail(new JobCancelledError({ reason: 'stopped' }))
    expect((await job)._unsafeUnwrapErr().code).toBe('HOST_ERROR')
  })

  test('that says "cancelled" while the server is closed says that it was closed', async () => {
    const { driver, server, vm } = await fakeServer({
      close: async () => {
        driver.calls[0]?.fail(new JobCancelledError({ reason: 'stopped' }))
        await turn()
      },
    })
    const job = vm.start()
    await server.close()
    expect((await job)._unsafeUnwrapErr()).toMatchObject({
      code: 'CONNECTION_FAILED',
      retryable: false,
      message: 'Cannot start VM "web-1": the server was closed. Connect again with connect().',
    })
  })

  test('that was aborted with an error of its own is that error', async () => {
    const reason = new OutcomeUnknownError({ reason: 'the connection broke' })
    const error = Object.assign(new Error('aborted', { cause: reason }), { name: 'AbortError' })
    expect(await failureWith(error)).toBe(reason)
  })

  test.for([undefined, null, 'text', 5, Symbol('x'), Object.create(null) as unknown, new Error('')])(
    'that is %o becomes a HostError',
    async (error) => {
      const failure = await failureWith(error)
      expect(failure.code).toBe('HOST_ERROR')
      expect(failure.reason).toBe(error instanceof Error ? 'Error' : inspect(error))
    },
  )

  test('for several operations names each of them', async () => {
    const { driver, server, vm } = await fakeServer()
    const [start, info] = [vm.start(), server.getInfo()]
    const error = new OutcomeUnknownError({ reason: 'the connection broke', cause: new Error('ECONNRESET') })
    for (const call of driver.calls) call.fail(error)
    const failures = [(await start)._unsafeUnwrapErr(), (await info)._unsafeUnwrapErr()]
    expect(failures.map(({ message }) => message)).toEqual([
      'Cannot start VM "web-1": the connection broke.',
      'Cannot get information about host "fake:": the connection broke.',
    ])
    expect(failures[1]).toBeInstanceOf(OutcomeUnknownError)
    expect(failures[1]?.cause).toBe(error.cause)
  })

  test('while it is not an Error at all raises nothing outside of the job', async () => {
    const errors = await uncaughtIn(async () => {
      const { driver, vm } = await fakeServer()
      void vm.waitForState('running')
      driver.last.fail(Object.create(null))
      await turn()
    })
    expect(errors).toEqual([])
  })
})

test('what a driver answers wrongly ends the job, and does not break it', async () => {
  const { driver, server } = await fakeServer()
  const job = server.getVmList()
  driver.last.succeed(5)
  expect((await job)._unsafeUnwrapErr().code).toBe('PROTOCOL_ERROR')
})

test('an operation that the host does not offer is refused, and nothing is sent', async () => {
  const { driver, vm } = await fakeServer({ only: ['server.getVm', 'vm.start', 'vm.clone'] })
  const error = (await vm.pause())._unsafeUnwrapErr()
  expect(error).toBeInstanceOf(NotSupportedError)
  expect(error).toMatchObject({
    capability: 'vm.pause',
    message:
      'Cannot pause VM "web-1": the fake host does not offer vm.pause. server.capabilities tells what it offers.',
  })
  expect((await vm.clone({ name: 'copy', linked: true }))._unsafeUnwrapErr()).toMatchObject({
    capability: 'vm.clone.linked',
  })
  expect((await vm.waitForState('running'))._unsafeUnwrapErr()).toMatchObject({ capability: 'vm.waitForState' })
  expect(driver.calls).toEqual([])
  const clone = vm.clone({ name: 'copy' })
  driver.last.succeed(recordOf('copy'))
  expect((await clone)._unsafeUnwrap().name).toBe('copy')
})
