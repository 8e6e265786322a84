import { setImmediate as turn } from 'node:timers/promises'
import type { Job, Snapshot, SnapshotNode, Vm } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { snapshot } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'

const calls = [
  ['vm.switchToSnapshot', (vm: Vm, argument: Snapshot | string): Job<void> => vm.switchToSnapshot(argument)],
  ['vm.deleteSnapshot', (vm: Vm, argument: Snapshot | string): Job<void> => vm.deleteSnapshot(argument)],
] as const

const node = (id: string, name: string, ...children: SnapshotNode[]): SnapshotNode => ({
  ...snapshot,
  id,
  name,
  children,
})
/** One of them has the id of another one as its name. */
const tree = [node('1', 'before', node('2', 'twice'), node('3', '1', node('4', 'twice'))), node('5', 'last')]
const answers = { 'vm.getSnapshotTree': () => tree }

describe.each(calls)('%s', (operation, call) => {
  test('takes a snapshot itself without a question', async () => {
    const { driver, vm } = await fakeServer({ answers })
    const job = call(vm, node('2', 'twice'))
    expect(driver.operationsCalled).toEqual([operation])
    expect(driver.last.input).toEqual({ vm: vm.id, snapshot: '2' })
    driver.last.succeed()
    expect((await job).isOk()).toBe(true)
  })

  test.for([
    ['an id', '4', '4'],
    ['a name', 'last', '5'],
    ['an id that is the name of another one', '1', '1'],
    ['a text that is neither: the host refuses it', 'other', 'other'],
  ] as const)('takes %s', async ([, text, id]) => {
    const { driver, vm } = await fakeServer({ answers })
    const job = call(vm, text)
    await turn()
    expect(driver.operationsCalled).toEqual(['vm.getSnapshotTree', operation])
    expect(driver.last.input).toEqual({ vm: vm.id, snapshot: id })
    driver.last.succeed()
    expect((await job).isOk()).toBe(true)
  })

  test('refuses a name that several have, and lists their ids', async () => {
    const { driver, vm } = await fakeServer({ answers })
    const error = (await call(vm, 'twice'))._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'snapshot', hint: 'Give the id of one of them.' })
    expect(error.reason).toBe('it has 2 snapshots named "twice", with the ids "2", "4"')
    expect(driver.operationsCalled).toEqual(['vm.getSnapshotTree'])
  })

  test('gives a text as it is to a host that does not list snapshots', async () => {
    const { driver, vm } = await fakeServer({ only: ['server.getVm', operation] })
    void call(vm, 'before')
    expect(driver.last).toMatchObject({ operation, input: { snapshot: 'before' } })
  })

  test('changes nothing if it is given up while the host is asked', async () => {
    const { driver, vm } = await fakeServer()
    const job =
      operation === 'vm.switchToSnapshot'
        ? vm.switchToSnapshot('x', { timeoutMs: 1 })
        : vm.deleteSnapshot('x', { timeoutMs: 1 })
    expect((await job)._unsafeUnwrapErr()).toMatchObject({ code: 'TIMEOUT', hint: 'Nothing was changed.' })
    driver.last.succeed(tree)
    await turn()
    expect(driver.operationsCalled).toEqual(['vm.getSnapshotTree'])
  })

  test.for<[string, unknown]>([
    ['an empty text', ''],
    ['nothing', undefined],
    ['a number', 1],
    ['an object without an id', {}],
    ['an object whose id is none', { id: '' }],
    [
      'an object that throws',
      {
        get id(): never {
          throw new Error('not now')
        },
      },
    ],
  ])('refuses %s', async ([, argument]) => {
    const { driver, vm } = await fakeServer()
    const { result } = call(vm, argument as string)
    expect(result?._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'snapshot' })
    expect(driver.calls).toEqual([])
  })
})
