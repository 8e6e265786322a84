import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type JobRef, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** Only data that a guest has flushed outlives its QEMU; a shutdown flushes everything. */
async function keepOnDisk(host: QmpHost, vm: Vm, byte: number): Promise<void> {
  const guest = await host.boot(vm)
  await guest.writeDisk(byte)
  await vm.stop().unwrap()
}

for (const state of ['running', 'paused'] as const) {
  test(`a QEMU that is killed while its guest is ${state} has crashed, and its disk is whole`, async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
    await keepOnDisk(host, vm, 0x5c)
    const guest = await host.boot(vm)
    if (state === 'paused') await vm.pause().unwrap()
    const log = new EventLog(host.server.events())
    process.kill(await host.pidOf(vm), 'SIGKILL')
    const event = await log.until(({ type }) => type === 'state')
    expect(event).toMatchObject({ state: 'crashed', previous: state, reason: 'crash' })
    expect(await guest.untilGone()).toBeUndefined()
    expect(await vm.getState().unwrap()).toBe('crashed')
    await failureOf(vm.pause(), 'INVALID_STATE')
    expect(await host.damage(vm)).toEqual([])
    const again = await host.boot(vm)
    expect(await again.readDisk()).toBe(0x5c)
    await log.close()
  })
}

test('a crash that no process saw is found by the next look', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  const pid = await host.pidOf(vm)
  await host.server.close()
  process.kill(pid, 'SIGKILL')
  await using again = await connect(host.uri).unwrap()
  const found = await again.getVm(vm.id).unwrap()
  expect(found.state).toBe('crashed')
  await found.stop({ mode: 'kill' }).unwrap()
  expect(found.state).toBe('stopped')
})

test('a shutdown during which QEMU is killed ends, and says that the VM crashed', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  await guest.ignorePowerButton()
  const job = vm.stop()
  process.kill(await host.pidOf(vm), 'SIGKILL')
  expect((await failureOf(job, 'INVALID_STATE')).state).toBe('crashed')
})

test('a QEMU that is killed during a snapshot, a clone or a suspension leaves the VM as it was before', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 64 }] })
  for (const [phase, begin] of [
    ['saving', () => vm.createSnapshot({ name: 'one' })],
    ['saving memory', () => vm.suspend()],
    ['copying disks', () => vm.clone({ name: 'copy' })],
  ] as const) {
    await keepOnDisk(host, vm, 0x31)
    await host.boot(vm)
    const pid = await host.pidOf(vm)
    const job = begin()
    job.onProgress((progress) => {
      if (progress.phase === phase) process.kill(pid, 'SIGKILL')
    })
    const result = await job
    if (result.isErr()) expect(['INVALID_STATE', 'RESOURCE_BUSY', 'HOST_ERROR']).toContain(result.error.code)
    expect(['crashed', 'suspended']).toContain(await vm.getState().unwrap())
    await vm.stop({ mode: 'kill' }).unwrap()
    expect(await host.damage(vm)).toEqual([])
    const again = await host.boot(vm)
    expect(await again.readDisk()).toBe(0x31)
    await vm.stop({ mode: 'kill' }).unwrap()
  }
  for (const other of await host.server.getVmList().unwrap()) await other.delete().unwrap()
})

/** Kills the VM's QEMU when the job gets to this phase. */
function killAt(host: QmpHost, vm: Vm, job: JobRef<unknown>, wanted: string): void {
  job.onProgress(({ phase }) => {
    if (phase === wanted) process.kill(Number(readFileSync(join(host.folderOf(vm), 'qemu.pid'), 'utf8')), 'SIGKILL')
  })
}

test('if QEMU is killed as its guest begins to run, the start fails with the crash, and the VM has crashed', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const log = new EventLog(host.server.events({ types: ['state'] }))
  const job = vm.start()
  killAt(host, vm, job, 'starting the processors')
  const error = await failureOf(job, 'HOST_ERROR')
  expect(error).toMatchObject({
    reason: 'its guest crashed: QEMU ended without any output',
    native: { driver: 'qmp', message: 'QEMU ended without any output' },
  })
  expect(vm.state).toBe('crashed')
  expect(await vm.getState().unwrap()).toBe('crashed')
  await log.close()
  expect(log.states).toEqual(['starting', 'crashed'])
  expect(log.events.at(-1)).toMatchObject({ reason: 'crash', message: 'QEMU ended without any output' })
  await host.boot(vm)
})

test('if QEMU ends before its guest runs, the start fails with its output, and the VM is as before', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  expect(await guest.count()).toBe(1)
  await vm.suspend().unwrap()
  const job = vm.resume()
  killAt(host, vm, job, 'loading memory')
  expect((await failureOf(job, 'HOST_ERROR')).reason).toContain('QEMU ended with SIGKILL')
  expect(await vm.getState().unwrap()).toBe('suspended')
  await vm.resume().unwrap()
  expect(await new SerialGuest(vm).count()).toBe(2)
})

test('a QEMU that has been stopped can still be killed, and blocks no other operation', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  process.kill(await host.pidOf(vm), 'SIGSTOP')
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await vm.getState().unwrap()).toBe('stopped')
})
