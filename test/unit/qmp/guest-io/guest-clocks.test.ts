import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GuestClocks } from '../../../../src/drivers/qmp/guest-io/guest-clocks.js'

let clocks: GuestClocks
let log: string[]
beforeEach(() => {
  clocks = new GuestClocks()
  log = []
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const set = (vm: string, setting: Promise<unknown> = Promise.resolve()): Promise<void> =>
  clocks.set(vm, async () => {
    log.push(`begin ${vm}`)
    await setting
    log.push(`end ${vm}`)
  })

/** Begins a clone; returns the function that ends it. */
function cloning(): () => Promise<void> {
  let end: () => void = () => undefined
  const ended = clocks.whileCloning(() => new Promise<void>((resolve) => (end = resolve)))
  return () => {
    end()
    return ended
  }
}

const never = new AbortController().signal

test('without clones, a clock is set at once', async () => {
  const setting = set('a')
  expect(log).toEqual(['begin a'])
  await setting
})

test('the clocks of a batch of clones are set when all are made, one after another', async () => {
  const warn = vi.spyOn(process, 'emitWarning')
  const ends = [cloning(), cloning()]
  const vms = Array.from({ length: 50 }, (_, index) => `vm-${index}`)
  const settings = vms.map((vm) => set(vm))
  await ends[0]!()
  await turn()
  expect(log).toEqual([])
  await ends[1]!()
  await Promise.all(settings)
  expect(log).toEqual(vms.flatMap((vm) => [`begin ${vm}`, `end ${vm}`]))
  expect(warn).not.toHaveBeenCalled()
})

test('a clock waits ten seconds for clones at most', async () => {
  const end = cloning()
  const setting = set('a')
  await vi.advanceTimersByTimeAsync(9999)
  expect(log).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  await setting
  expect(log).toEqual(['begin a', 'end a'])
  await end()
})

test('a guest that is asked for something gets its clock first, and once', async () => {
  const end = cloning()
  const settings = [set('a'), set('b')]
  await clocks.hurry('b', never)
  expect(log).toEqual(['begin b', 'end b'])
  await end()
  await Promise.all(settings)
  expect(log).toEqual(['begin b', 'end b', 'begin a', 'end a'])
  await clocks.hurry('b', never)
})

test('a clock that fails, or takes long, holds up no other for good', async () => {
  const end = cloning()
  const failing = set('a', Promise.reject(new Error('no clock')))
  failing.catch(() => undefined)
  const hanging = set('b', new Promise(() => undefined))
  await clocks.hurry('a', never)
  const hurried = clocks.hurry('b', never)
  await vi.advanceTimersByTimeAsync(10_000)
  await hurried
  await clocks.hurry('b', AbortSignal.abort())
  await end()
  await expect(failing).rejects.toThrow('no clock')
  void hanging
})
