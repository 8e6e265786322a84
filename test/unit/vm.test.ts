import { inspect } from 'node:util'
import {
  InvalidStateError,
  ok,
  type Job,
  type JobOptions,
  type StopMode,
  type Vm,
  type VmState,
  type VmStatistics,
} from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { configOf, recordOf, snapshot } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'

const changes: [string, (vm: Vm, options?: JobOptions) => Job<unknown>, object, VmState, value?: StopMode][] = [
  ['vm.start', (vm, options) => vm.start(options), {}, 'running'],
  ['vm.stop', (vm, options) => vm.stop(options), { mode: 'shutdown' }, 'stopped', 'shutdown'],
  ['vm.stop', (vm, options) => vm.stop({ ...options, mode: 'kill' }), { mode: 'kill' }, 'stopped', 'kill'],
  ['vm.pause', (vm, options) => vm.pause(options), {}, 'paused'],
  ['vm.resume', (vm, options) => vm.resume(options), {}, 'running'],
  ['vm.suspend', (vm, options) => vm.suspend(options), {}, 'suspended'],
  ['vm.reset', (vm, options) => vm.reset(options), {}, 'running'],
  ['vm.restart', (vm, options) => vm.restart(options), {}, 'running'],
  [
    'vm.switchToSnapshot',
    (vm, options) => vm.switchToSnapshot(snapshot, options),
    { snapshot: 'snapshot-1' },
    'paused',
  ],
]

test.each(changes)(
  '%s keeps the state that the host has confirmed, and only then',
  async (operation, call, input, state, value) => {
    const { driver, vm } = await fakeServer({ answers: { 'server.getVm': () => recordOf('web-1', 'crashed') } })
    const job = call(vm)
    expect(driver.last).toMatchObject({ operation, input: { vm: vm.id, ...input } })
    expect(job).toMatchObject({ operation, target: { type: 'vm', id: vm.id, name: 'web-1' } })
    expect(vm.state).toBe('crashed')
    driver.last.succeed(state)
    expect(await job).toEqual(ok(value))
    expect(vm.state).toBe(state)
  },
)

test('a failure leaves the state as it was', async () => {
  const { driver, vm } = await fakeServer()
  const job = vm.pause()
  driver.last.fail(new InvalidStateError({ reason: 'it is stopped', state: 'stopped', expected: ['running'] }))
  expect((await job).isErr()).toBe(true)
  expect(vm.state).toBe('stopped')
})

const figures = (uptimeMs: number): VmStatistics => ({ takenAt: new Date(0), uptimeMs, memoryMiB: 32 })

describe('calls that ask', () => {
  test('getState and refresh', async () => {
    const { driver, vm } = await fakeServer()
    const state = vm.getState()
    driver.last.succeed('paused')
    expect([(await state)._unsafeUnwrap(), vm.state]).toEqual(['paused', 'paused'])
    const job = vm.refresh()
    expect(driver.last).toMatchObject({ operation: 'server.getVm', input: { nameOrId: vm.id } })
    expect(job.operation).toBe('vm.refresh')
    expect((await job)._unsafeUnwrap()).toEqual(configOf('web-1'))
    expect(vm.state).toBe('stopped')
  })

  test('edit takes the new settings in, and errors name the VM by its new name', async () => {
    const { driver, vm } = await fakeServer()
    const { guest } = vm
    const job = vm.edit({ name: 'web-2' })
    expect(driver.last.input).toEqual({ vm: vm.id, changes: { name: 'web-2' } })
    driver.last.succeed({ ...recordOf(), config: configOf('web-2') })
    expect((await job)._unsafeUnwrap().name).toBe('web-2')
    expect([vm.name, vm.config.name, vm.target.name, vm.start().target?.name]).toEqual(Array(4).fill('web-2'))
    expect(guest.exec(['true']).target?.name).toBe('web-2')
  })

  test('clone with memory asks for that of a snapshot by its id', async () => {
    const { driver, vm } = await fakeServer({ features: new Set(['vm.clone.memory'] as const) })
    const input = { vm: vm.id, name: 'twin', linked: false, memory: true, ephemeral: false }
    void vm.clone({ name: 'twin', memory: true })
    expect(driver.last).toMatchObject({ operation: 'vm.clone', input })
    void vm.clone({ name: 'twin', memory: true, snapshot })
    expect(driver.last).toMatchObject({ operation: 'vm.clone', input: { ...input, snapshot: snapshot.id } })
    const named = vm.clone({ name: 'twin', memory: true, snapshot: 'booted' })
    expect(driver.last.operation).toBe('vm.getSnapshotTree')
    driver.last.succeed([{ ...snapshot, id: 'of-booted', name: 'booted', children: [] }])
    await expect.poll(() => driver.last.input).toEqual({ ...input, snapshot: 'of-booted' })
    driver.last.succeed(recordOf('twin'))
    expect((await named)._unsafeUnwrap().name).toBe('twin')
  })

  test('clone of a snapshot needs memory, and a host that offers it', async () => {
    const { driver, vm } = await fakeServer({ features: new Set(['vm.clone.linked'] as const) })
    const { capability } = await failureOf(vm.clone({ name: 'twin', memory: true }), 'NOT_SUPPORTED')
    expect(capability).toBe('vm.clone.memory')
    const { path } = await failureOf(vm.clone({ name: 'twin', snapshot: 'booted' }), 'INVALID_ARGUMENT')
    expect(path).toBe('options.snapshot')
    expect(driver.calls).toEqual([])
  })

  test('clone gives the new VM', async () => {
    const { driver, vm } = await fakeServer({ features: new Set(['vm.clone.linked'] as const) })
    const job = vm.clone({ name: 'copy', linked: true })
    expect(driver.last.input).toEqual({ vm: vm.id, name: 'copy', linked: true, memory: false, ephemeral: false })
    driver.last.succeed(recordOf('copy'))
    const copy = (await job)._unsafeUnwrap()
    expect(copy.name).toBe('copy')
    expect(copy).not.toBe(vm)
  })

  test.each<[string, (vm: Vm) => Job<unknown>, object, unknown, unknown]>([
    ['vm.delete', (vm) => vm.delete(), {}, undefined, undefined],
    ['vm.unregister', (vm) => vm.unregister(), {}, undefined, undefined],
    [
      'vm.exportDisk',
      (vm) => vm.exportDisk('disk-1', '/disk.raw'),
      { disk: 'disk-1', path: '/disk.raw', format: 'raw', compress: false },
      undefined,
      undefined,
    ],
    ['vm.migrate', (vm) => vm.migrate('fake://b'), { to: 'fake://b' }, 5, undefined],
    ['vm.createSnapshot', (vm) => vm.createSnapshot({ name: 'x' }), { name: 'x', description: '' }, snapshot, snapshot],
    ['vm.getSnapshotTree', (vm) => vm.getSnapshotTree(), {}, [], []],
    ['vm.deleteSnapshot', (vm) => vm.deleteSnapshot(snapshot), { snapshot: 'snapshot-1' }, undefined, undefined],
    ['vm.getStatistics', (vm) => vm.getStatistics(), {}, figures(5), figures(5)],
    ['vm.screenshot', (vm) => vm.screenshot(), {}, new Uint8Array(3), new Uint8Array(3)],
    [
      'vm.sendKeys',
      (vm) => vm.sendKeys([['AltLeft', 'F4'], 'Enter']),
      { keys: [['AltLeft', 'F4'], 'Enter'] },
      1,
      undefined,
    ],
    ['guest.getNetworkAddresses', (vm) => vm.guest.getNetworkAddresses(), {}, [], []],
    ['guest.copyIn', (vm) => vm.guest.copyIn('/a', 'b'), { from: '/a', to: 'b' }, 1, undefined],
    ['guest.copyOut', (vm) => vm.guest.copyOut('a', '/b'), { from: 'a', to: '/b' }, 1, undefined],
  ])('%s', async (operation, call, input, output, value) => {
    const { driver, vm } = await fakeServer()
    const job = call(vm)
    expect(driver.last).toMatchObject({ operation })
    expect(driver.last.input).toEqual({ vm: vm.id, ...input })
    driver.last.succeed(output)
    expect((await job)._unsafeUnwrap()).toEqual(value)
  })
})

describe('watchStatistics', () => {
  test('gives figures at the interval, and ends when the VM does not run any more', async () => {
    let count = 0
    const { vm } = await fakeServer({
      answers: {
        'vm.getStatistics': () => {
          count += 1
          if (count < 3) return figures(count)
          throw new InvalidStateError({ reason: 'it is stopped', state: 'stopped', expected: ['running'] })
        },
      },
    })
    const seen: unknown[] = []
    for await (const seenFigures of vm.watchStatistics({ intervalMs: 1 })) seen.push(seenFigures)
    expect(seen).toEqual([figures(1), figures(2)])
    expect(count).toBe(3)
  })

  test('throws any other error', async () => {
    const { driver, vm } = await fakeServer()
    const step = vm.watchStatistics().next()
    driver.last.fail(new Error('no'))
    await expect(step).rejects.toMatchObject({ code: 'HOST_ERROR' })
  })

  test('throws the typed error when it is aborted, also between two figures', async () => {
    const { driver, vm } = await fakeServer()
    const controller = new AbortController()
    const watching = vm.watchStatistics({ signal: controller.signal, intervalMs: 60_000 })
    const first = watching.next()
    driver.last.succeed(figures(1))
    await first
    const second = watching.next()
    controller.abort()
    await expect(second).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
  })

  test('throws on an invalid interval', async () => {
    const { vm } = await fakeServer()
    await expect(vm.watchStatistics({ intervalMs: Number.NaN }).next()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      path: 'intervalMs',
    })
  })
})

test('on console.log and as JSON', async () => {
  const { vm } = await fakeServer()
  expect(inspect(vm)).toBe('Vm "web-1" stopped (id-of-web-1)')
  expect(JSON.parse(JSON.stringify(vm))).toMatchObject({
    id: 'id-of-web-1',
    name: 'web-1',
    state: 'stopped',
    config: { cpus: 1 },
  })
})
