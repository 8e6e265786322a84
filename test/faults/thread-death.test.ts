import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { connect, type Server } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let directory: string
let threads: Worker[]
/** What is done to each thread as it starts. */
let onThread: (thread: Worker) => void

const listener = (message: unknown): void => {
  const { worker } = message as { worker: Worker }
  threads.push(worker)
  onThread(worker)
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-threads-'))
  threads = []
  onThread = () => undefined
  subscribe('worker_threads', listener)
})

afterEach(async () => {
  unsubscribe('worker_threads', listener)
  await rm(directory, { recursive: true })
})

const killThreads = async (): Promise<void> => {
  await Promise.all(threads.map((thread) => thread.terminate()))
}

describe.each(['embedded:', 'embedded:///dir'])('%s', (kind) => {
  const open = (): Promise<Server> => connect(kind === 'embedded:' ? kind : `embedded://${directory}`).unwrap()

  test('a thread that dies leaves a crashed VM, which says why and starts again', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
    await vm.start().unwrap()
    const events = server.events({ types: ['state'] })
    const console = vm.console()
    const ended = new Promise((resolve) => console.once('close', resolve))
    console.resume()

    const shooting = vm.screenshot()
    const stopping = vm.stop()
    await killThreads()
    expect(['SUCCESS', 'INVALID_STATE']).toContain((await shooting).isOk() ? 'SUCCESS' : shooting.retCode)
    expect((await stopping)._unsafeUnwrapErr()).toMatchObject({ code: 'INVALID_STATE', state: 'crashed' })
    await ended
    expect(await vm.getState().unwrap()).toBe('crashed')
    const { value: event } = await events.next()
    expect(event).toMatchObject({ state: 'crashed', reason: 'crash' })
    expect(event).toHaveProperty('message', expect.stringContaining('its thread exited'))

    await vm.start().unwrap()
    expect(vm.state).toBe('running')
  })

  test('a thread that dies as its guest begins to run ends the start with the crash, and the VM has crashed', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    const events = server.events({ types: ['state'] })
    const job = vm.start()
    job.onProgress(({ phase }) => {
      if (phase === 'starting the processor') void killThreads()
    })
    const error = (await job)._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'HOST_ERROR', reason: expect.stringContaining('its guest crashed: ') })
    expect(error.native?.message).toContain('its thread exited')
    expect(vm.state).toBe('crashed')
    expect(await vm.getState().unwrap()).toBe('crashed')
    const told = [await events.next(), await events.next()].map(({ value }) => value)
    expect(told).toMatchObject([{ state: 'starting' }, { state: 'crashed', reason: 'crash' }])
  })

  test('a thread that dies while it loads ends the start with an error, and the next start succeeds', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await killThreads()
    onThread = (thread) => void thread.terminate()
    expect((await vm.start())._unsafeUnwrapErr()).toMatchObject({ code: 'HOST_ERROR' })
    expect(vm.state).toBe('stopped')
    onThread = () => undefined
    await vm.start().unwrap()
  })
})

test('a host whose threads can not start does not connect', async () => {
  onThread = (thread) => void thread.terminate()
  expect((await connect('embedded:'))._unsafeUnwrapErr()).toMatchObject({ code: 'HOST_ERROR' })
})
