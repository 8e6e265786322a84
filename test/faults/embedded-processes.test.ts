import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server } from 'awaitvm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Child } from '../support/child-process.js'

let directory: string
let uri: string
let server: Server

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-processes-'))
  uri = `embedded://${directory}`
  server = await connect(uri).unwrap()
})

afterEach(async () => {
  await server.close()
  await rm(directory, { recursive: true })
})

test('a VM that another process runs is shown with its state, and only that process can change it', async () => {
  await using child = new Child('host-child.ts', [uri])
  await child.printed('ready')
  child.send('create web-1')
  child.send('start web-1')
  await child.printed('did start web-1')

  const vm = await server.getVm('web-1').unwrap()
  expect(vm.state).toBe('running')
  for (const job of [
    vm.start(),
    vm.stop(),
    vm.stop({ mode: 'kill' }),
    vm.delete(),
    vm.edit({ name: 'mine' }),
    vm.screenshot(),
  ]) {
    const result = await job
    expect(result._unsafeUnwrapErr()).toMatchObject({ code: 'RESOURCE_BUSY', pid: child.pid, retryable: true })
  }

  child.send('pause web-1')
  await child.printed('did pause web-1')
  expect(await vm.getState().unwrap()).toBe('paused')

  child.send('suspend web-1')
  await child.printed('did suspend web-1')
  expect(await vm.getState().unwrap()).toBe('suspended')
  await vm.resume().unwrap()
  expect(vm.state).toBe('running')
})

test('waiting for a state notices what another process does', async () => {
  await using child = new Child('host-child.ts', [uri])
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  const waiting = vm.waitForState('running')
  await child.printed('ready')
  child.send('start web-1')
  expect(await waiting.unwrap()).toBe('running')
})

test('the VMs of a process that was killed are off, and free', async () => {
  const child = new Child('host-child.ts', [uri])
  await child.printed('ready')
  child.send('create web-1')
  child.send('start web-1')
  await child.printed('did start web-1')
  await child.kill()

  const vm = await server.getVm('web-1').unwrap()
  expect(vm.state).toBe('stopped')
  await vm.start().unwrap()
  expect(vm.state).toBe('running')
})

/** Reads all folders of VMs, of which any may be renamed or removed while they are read. */
async function readFolders(): Promise<void> {
  try {
    await readdir(join(directory, 'vms'), { recursive: true })
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOENT') throw error
  }
}

test('a process that is killed in the midst of any change leaves a directory that opens, whole and clean', async () => {
  // Each round is killed a little later in the chain of changes, by the number of files that it has made.
  for (let round = 0; round < 8; round += 1) {
    const child = new Child('host-child.ts', [uri, 'churn'])
    await child.printed('churning')
    for (let step = 0; step < round * 40; step += 1) await readFolders()
    await child.kill()

    await using again = await connect(uri).unwrap()
    for (const vm of await again.getVmList().unwrap()) {
      expect(['stopped', 'suspended']).toContain(vm.state)
      if (vm.state === 'suspended') await vm.resume().unwrap()
      else await vm.start().unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      for (const snapshot of await vm.getSnapshotTree().unwrap()) {
        await vm.switchToSnapshot(snapshot.id).unwrap()
        await vm.stop({ mode: 'kill' })
      }
      await vm.delete().unwrap()
    }
    expect(await readdir(join(directory, 'vms'))).toEqual([])
  }
})

test('two processes that give the same name at once: one is told that it is taken', async () => {
  await using first = await connect(uri).unwrap()
  await using second = await connect(uri).unwrap()
  for (let round = 0; round < 20; round += 1) {
    const results = await Promise.all(
      [first, second, server].map((each) => each.createVm({ name: `vm-${String(round)}` }).wait()),
    )
    expect(results.map((result) => (result.isOk() ? 'ok' : result.error.code)).sort()).toEqual([
      'ALREADY_EXISTS',
      'ALREADY_EXISTS',
      'ok',
    ])
  }
  expect(await server.getVmList().unwrap()).toHaveLength(20)
})
