import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { SharedStates } from '../../../src/drivers/embedded/shared-states.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { SerialGuest } from '../../../src/testing/conformance/serial-guest.js'

test('a saved state is read once for all that use it at the same time, and again after the last has released it', async () => {
  const states = new SharedStates()
  let reads = 0
  const read = (): Promise<Uint8Array> => Promise.resolve(Uint8Array.of((reads += 1)))
  const first = states.use('memory-1', read)
  const second = states.use('memory-1', read)
  expect(await second.state).toBe(await first.state)
  first.release()
  expect(await states.use('memory-1', read).state).toBe(await second.state)
  second.release()
  expect(reads).toBe(1)
  expect(await states.use('memory-2', read).state).toEqual(Uint8Array.of(2))
  states.use('memory-1', read).release()
  states.use('memory-1', read).release()
  expect(reads).toBe(2)
})

test('clones of one snapshot that are made at once go on from it, each by itself', async () => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'golden', disks: [{ sizeMiB: 1 }] }).unwrap()
  await vm.start().unwrap()
  const guest = new SerialGuest(vm)
  await guest.untilReady()
  await guest.writeDisk(1)
  const counted = await guest.count()
  const snapshot = await vm.createSnapshot({ name: 'booted' }).unwrap()
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const clones = await Promise.all(names.map((name) => vm.clone({ name, memory: true, snapshot }).unwrap()))
  for (const [index, clone] of clones.entries()) {
    const twin = new SerialGuest(clone)
    expect(await twin.count()).toBe(counted + 1)
    expect(await twin.readDisk()).toBe(1)
    await twin.writeDisk(10 + index)
    expect(await twin.readDisk()).toBe(10 + index)
  }
  expect(await guest.readDisk()).toBe(1)
})

test('a clone with memory that is cancelled before it runs is not there, and the original runs on', async () => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'golden' }).unwrap()
  await vm.start().unwrap()
  const guest = new SerialGuest(vm)
  await guest.untilReady()
  const cancelling = new AbortController()
  const cloning = vm.clone({
    name: 'twin',
    memory: true,
    signal: cancelling.signal,
    onProgress: ({ phase }) => {
      if (phase === 'loading the machine') cancelling.abort()
    },
  })
  await failureOf(cloning, 'JOB_CANCELLED')
  expect(await server.getVmList().unwrap()).toEqual([vm])
  expect(await guest.count()).toBe(1)
  const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
  expect(await new SerialGuest(twin).count()).toBe(2)
})
