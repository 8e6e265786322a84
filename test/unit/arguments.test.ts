import fc from 'fast-check'
import { batch, connect, Job, type Server, type Vm } from 'awaitvm'
import { createJob, createSimulatedServer, serve } from 'awaitvm/testing'
import 'awaitvm/testing/vitest'
import { expect, test } from 'vitest'
import { FakeDriver } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'
import { activeTimers } from '../support/timers.js'

type Call = (target: { server: Server; vm: Vm }, argument: never) => Job<unknown>

/** Every method that takes options, with all else right. */
const withOptions: Record<string, Call> = {
  getInfo: ({ server }, options) => server.getInfo(options),
  getVmList: ({ server }, options) => server.getVmList(options),
  getVm: ({ server }, options) => server.getVm('web-1', options),
  createVm: ({ server }, options) => server.createVm({ name: 'web-1' }, options),
  registerVm: ({ server }, options) => server.registerVm('/vm', options),
  getJobs: ({ server }, options) => server.getJobs(options),
  attachJob: ({ server }, options) => server.attachJob('task', options),
  getState: ({ vm }, options) => vm.getState(options),
  refresh: ({ vm }, options) => vm.refresh(options),
  waitForState: ({ vm }, options) => vm.waitForState('running', options),
  start: ({ vm }, options) => vm.start(options),
  stop: ({ vm }, options) => vm.stop(options),
  pause: ({ vm }, options) => vm.pause(options),
  resume: ({ vm }, options) => vm.resume(options),
  suspend: ({ vm }, options) => vm.suspend(options),
  reset: ({ vm }, options) => vm.reset(options),
  restart: ({ vm }, options) => vm.restart(options),
  edit: ({ vm }, options) => vm.edit({}, options),
  exportDisk: ({ vm }, options) => vm.exportDisk('disk-1', '/a', options),
  delete: ({ vm }, options) => vm.delete(options),
  unregister: ({ vm }, options) => vm.unregister(options),
  migrate: ({ vm }, options) => vm.migrate('fake:', options),
  getSnapshotTree: ({ vm }, options) => vm.getSnapshotTree(options),
  switchToSnapshot: ({ vm }, options) => vm.switchToSnapshot('1', options),
  deleteSnapshot: ({ vm }, options) => vm.deleteSnapshot('1', options),
  getStatistics: ({ vm }, options) => vm.getStatistics(options),
  screenshot: ({ vm }, options) => vm.screenshot(options),
  sendKeys: ({ vm }, options) => vm.sendKeys('x', options),
  exec: ({ vm }, options) => vm.guest.exec(['true'], options),
  getNetworkAddresses: ({ vm }, options) => vm.guest.getNetworkAddresses(options),
  copyIn: ({ vm }, options) => vm.guest.copyIn('/a', '/b', options),
  copyOut: ({ vm }, options) => vm.guest.copyOut('/a', '/b', options),
  connect: (_target, options) => connect('embedded:', options),
  clone: ({ vm }, options) => vm.clone(options),
  createSnapshot: ({ vm }, options) => vm.createSnapshot(options),
}

/** Every method's arguments of its own. */
const withArgument: Record<string, Call> = {
  getVm: ({ server }, nameOrId) => server.getVm(nameOrId),
  createVm: ({ server }, spec) => server.createVm(spec),
  registerVm: ({ server }, path) => server.registerVm(path),
  attachJob: ({ server }, token) => server.attachJob(token),
  waitForState: ({ vm }, states) => vm.waitForState(states),
  edit: ({ vm }, changes) => vm.edit(changes),
  exportDiskId: ({ vm }, diskId) => vm.exportDisk(diskId, '/a'),
  exportDiskPath: ({ vm }, path) => vm.exportDisk('disk-1', path),
  exportDiskFormat: ({ vm }, format) => vm.exportDisk('disk-1', '/a', { format }),
  migrate: ({ vm }, to) => vm.migrate(to),
  switchToSnapshot: ({ vm }, id) => vm.switchToSnapshot(id),
  deleteSnapshot: ({ vm }, id) => vm.deleteSnapshot(id),
  sendKeys: ({ vm }, keys) => vm.sendKeys(keys),
  exec: ({ vm }, command) => vm.guest.exec(command),
  copyInFrom: ({ vm }, from) => vm.guest.copyIn(from, '/b'),
  copyInTo: ({ vm }, to) => vm.guest.copyIn('/a', to),
  copyOutFrom: ({ vm }, from) => vm.guest.copyOut(from, '/b'),
  copyOutTo: ({ vm }, to) => vm.guest.copyOut('/a', to),
  connect: (_target, uri) => connect(uri),
  'Job.all': (_target, jobs) => Job.all(jobs),
  stop: ({ vm }, mode) => vm.stop({ mode }),
  cloneName: ({ vm }, name) => vm.clone({ name }),
  cloneLinked: ({ vm }, linked) => vm.clone({ name: 'copy', linked }),
  snapshotDescription: ({ vm }, description) => vm.createSnapshot({ name: 'x', description }),
  execEnv: ({ vm }, env) => vm.guest.exec(['true'], { env }),
  execInput: ({ vm }, input) => vm.guest.exec(['true'], { input }),
  execCwd: ({ vm }, cwd) => vm.guest.exec(['true'], { cwd }),
  getVmListState: ({ server }, state) => server.getVmList({ state }),
  getVmListName: ({ server }, name) => server.getVmList({ name }),
}

const throwing = (key: string): object =>
  Object.defineProperty({}, key, {
    enumerable: true,
    get() {
      throw new Error('hostile')
    },
  })
const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
const hostile: unknown[] = [
  ...['signal', 'timeoutMs', 'onProgress', 'mode', 'name', 'state', 'env', 'length', 'linked', 'description'].map(
    throwing,
  ),
  revoked(),
  { signal: 5, name: 'x' },
  { signal: revoked(), name: 'x' },
]
const primitives = [null, 0, 5, Number.NaN, true, 5n, Symbol('garbage')]
const wrongOptions: unknown[] = [
  ...primitives,
  'options',
  [],
  () => undefined,
  { signal: {}, name: 'x' },
  { signal: new EventTarget(), name: 'x' },
  { signal: Object.create(AbortSignal.prototype) as unknown, name: 'x' },
  { signal: null, name: 'x' },
  { timeoutMs: -1, name: 'x' },
  { timeoutMs: Number.NaN, name: 'x' },
  { timeoutMs: Infinity, name: 'x' },
  { timeoutMs: '5', name: 'x' },
  { timeoutMs: null, name: 'x' },
  { onProgress: 'x', name: 'x' },
  { onProgress: {}, name: 'x' },
]
/** Wrong for each of the methods, but for the exceptions. */
const wrongArguments: unknown[] = [...primitives, '', [], [5], [[]], { 0: Symbol('x') }]
const exceptions: Record<string, readonly unknown[]> = {
  sendKeys: ['', wrongArguments[8]],
  execInput: [''],
  execCwd: [''],
  snapshotDescription: [''],
  getVmListName: [''],
  'Job.all': [wrongArguments[8]],
  cloneLinked: [true],
}

test.each(Object.entries(withOptions))('%s refuses wrong options, and sends nothing', async (_name, call) => {
  const target = await fakeServer()
  for (const options of wrongOptions) {
    const job = call(target, options as never)
    expect(job).toMatchObject({ status: 'finished', retCode: 'INVALID_ARGUMENT' })
    expect(job.result?._unsafeUnwrapErr().message).toMatch(/^Cannot .*(must|is|can't)/)
  }
  expect(target.driver.calls).toEqual([])
})

test.each(Object.entries(withOptions))('%s refuses an option that is not known by its name', async (_name, call) => {
  const target = await fakeServer()
  const job = call(target, { name: 'x', signall: AbortSignal.abort() } as never)
  // Those that have no name of their own refuse that first.
  const path = expect.stringMatching(/^(options|filter)\.(name|signall)$/) as string
  expect(job.result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path })
  expect(call(target, { signall: 1 } as never).result?._unsafeUnwrapErr()).toMatchObject({
    code: 'INVALID_ARGUMENT',
    reason: expect.stringMatching(/^(options|filter)\.signall is not a known setting$/) as string,
    hint: 'Did you mean signal?',
  })
  expect(target.driver.calls).toEqual([])
})

test('what takes options and gives no job of a host refuses them by name, too', async () => {
  const { server, vm } = await fakeServer()
  const unknown = { code: 'INVALID_ARGUMENT', path: 'options.user' }
  const options = { user: 'ci' } as object
  expect(batch([], () => vm.start(), options).result?._unsafeUnwrapErr()).toMatchObject(unknown)
  const ended = vm.start({ signal: AbortSignal.abort() })
  expect((await ended.wait(options))._unsafeUnwrapErr()).toMatchObject(unknown)
  expect((await createJob().job.wait(options))._unsafeUnwrapErr()).toMatchObject(unknown)
  expect((await createJob().job.wait({ onProgress: () => undefined } as object))._unsafeUnwrapErr()).toMatchObject({
    path: 'options.onProgress',
    hint: 'Known are: timeoutMs, signal.',
  })
  expect((await createJob(options).job)._unsafeUnwrapErr()).toMatchObject(unknown)
  await expect(vm.watchStatistics(options).next()).rejects.toMatchObject(unknown)
  expect(() => server.events({ vmid: vm.id } as object)).toThrow(
    'filter.vmid is not a known setting. Did you mean vmId?',
  )
  expect(() => serve(new FakeDriver(), 'fake:', options)).toThrow('options.user is not a known setting')
  expect(() => createSimulatedServer(options)).toThrow('options.user is not a known setting')
  expect(() => createSimulatedServer().connect(options)).toThrow('options.user is not a known setting')
  expect(() => {
    expect(createSimulatedServer()).not.toHaveCalled('vm.start', { vms: 'web-1' } as object)
  }).toThrow('expected.vms is not a known setting. Did you mean vm?')
})

test.for<[string, string]>([
  ['concurency', 'Did you mean concurrency?'],
  ['Concurrency', 'Did you mean concurrency?'],
  ['tiemoutMs', 'Did you mean timeoutMs?'],
  ['parallel', 'Known are: concurrency, '],
  ['x'.repeat(100_000), 'Known are: concurrency, '],
])('the hint for %.20s', ([name, hint]) => {
  const error = batch([], () => createJob().job, { [name]: 1 }).result?._unsafeUnwrapErr()
  expect(error?.hint?.startsWith(hint)).toBe(true)
})

test.each(Object.entries(withArgument))('%s refuses a wrong argument, and sends nothing', async (name, call) => {
  const target = await fakeServer()
  for (const argument of wrongArguments) {
    if (exceptions[name]?.includes(argument) === true) continue
    const job = call(target, argument as never)
    expect(job).toMatchObject({ status: 'finished', retCode: 'INVALID_ARGUMENT' })
    expect(job.result?._unsafeUnwrapErr().message).toMatch(/^Cannot /)
  }
  expect(target.driver.calls).toEqual([])
})

test('each method returns a job and does not throw, with any arguments', async () => {
  const target = await fakeServer({ features: new Set(['vm.clone.linked'] as const) })
  const timers = activeTimers()
  const garbage = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }),
    fc.record(
      { signal: fc.anything(), timeoutMs: fc.anything(), onProgress: fc.anything(), name: fc.anything() },
      { requiredKeys: [] },
    ),
    // By number, since fast-check itself can't bear some of them.
    fc.nat(hostile.length - 1).map((index) => ({ index })),
  )
  const calls = [...Object.entries(withOptions), ...Object.entries(withArgument)].filter(([name]) => name !== 'connect')
  fc.assert(
    fc.property(fc.constantFrom(...calls), garbage, ([, call], argument) => {
      const isHostile = typeof argument === 'object' && argument !== null && 'index' in argument
      const job = call(target, (isHostile ? hostile[argument.index as number] : argument) as never)
      expect(job).toBeInstanceOf(Job)
      if (job.retCode !== undefined && job.retCode !== 'SUCCESS') expect(job.retCode).toBe('INVALID_ARGUMENT')
    }),
    { numRuns: 3000 },
  )
  await target.server.close()
  expect(activeTimers()).toBe(timers)
})

test.each(hostile.map((value, index) => [index, value]))('hostile object %i breaks nothing', async (_index, value) => {
  const target = await fakeServer()
  for (const call of [...Object.values(withOptions), ...Object.values(withArgument)]) {
    const { retCode } = call(target, value as never)
    expect(['INVALID_ARGUMENT', undefined]).toContain(retCode)
  }
})

test('what a driver is given is a copy, which the caller can not change while the call waits in line', async () => {
  const { driver, server, vm } = await fakeServer({ maxConcurrentOperations: 1 })
  void vm.start()
  const argv = ['ls']
  const changes = { cpus: 2 }
  const spec = { name: 'db-1', disks: [{ sizeMiB: 1 }] }
  const jobs = [vm.guest.exec(argv), vm.edit(changes), server.createVm(spec)]
  argv.push('\0')
  changes.cpus = -1
  spec.disks[0]!.sizeMiB = Number.NaN
  driver.last.succeed('running')
  for (let sent = 2; sent <= 4; sent += 1) {
    await new Promise(setImmediate)
    if (sent < 4) driver.last.succeed({ config: {} })
  }
  expect(jobs).toHaveLength(3)
  expect(driver.calls.slice(1).map(({ input }) => input)).toMatchObject([
    { command: ['ls'] },
    { changes: { cpus: 2 } },
    { spec: { disks: [{ sizeMiB: 1 }] } },
  ])
})
