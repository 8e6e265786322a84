import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { connect } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { patience } from '../../src/testing/conformance/deadline.js'
import { missingQemu, missingTools, skipWithout } from '../support/optional-tool.js'
import { processesIn, qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** Everything that is left works, and can be deleted. */
async function expectWholeAndClean(host: QmpHost): Promise<void> {
  await using again = await connect(host.uri).unwrap()
  const vms = await again.getVmList().unwrap()
  const running = vms.filter(({ state }) => state === 'running' || state === 'paused')
  expect(
    vms.map(({ state }) => state).filter((state) => !/^(?:stopped|running|paused|suspended)$/.test(state)),
  ).toEqual([])
  expect(await qemusIn(host.directory), 'every QEMU belongs to a running VM').toHaveLength(running.length)
  const withTpm = running.filter(({ config }) => config.tpm === true)
  expect(await processesIn(host.directory, /swtpm/), 'every swtpm does, too').toHaveLength(withTpm.length)

  for (const vm of vms) {
    if (vm.state === 'suspended') await vm.resume().unwrap()
    if (vm.state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
    expect(await host.damage(vm)).toEqual([])
    const { disks } = await vm.refresh().unwrap()
    expect(await host.diskSizes(vm), 'each disk is as large as is told').toEqual(disks.map(({ sizeMiB }) => sizeMiB))
    await vm.start().unwrap()
    for (const snapshot of await vm.getSnapshotTree().unwrap()) await vm.switchToSnapshot(snapshot.id).unwrap()
    await vm.stop({ mode: 'kill' })
    expect(await host.damage(vm)).toEqual([])
    await vm.delete().unwrap()
  }
  expect(await readdir(join(host.directory, 'vms'))).toEqual([])
  expect(await processesIn(host.directory)).toEqual([])
}

test.each([
  'create',
  'start',
  'start: starting QEMU',
  'start: starting the processors',
  'snapshot',
  'snapshot: saving',
  'clone',
  'clone: copying disks',
  'twin: saving memory',
  'twin: starting QEMU',
  'twin: loading memory',
  'twin of a snapshot: copying the snapshot',
  'delete the twin',
  'suspend: pausing',
  'suspend: saving memory',
  'suspend: ending QEMU',
  'resume: starting QEMU',
  'resume: loading memory',
  'switch: taking the disks back',
  'edit',
  'edit live',
  'delete the snapshot',
  'kill',
  'copy: copying disks',
  'link',
  'link: linking disks',
  'out of the base',
  'out of the base: copying the snapshot',
  'delete',
])('a process that is killed at "%s" leaves a directory that opens, whole and clean', async (moment) => {
  await using host = await QmpHost.open()
  const child = new Child('host-child.ts', [host.uri, 'churn', host.kernel])
  await child.printed(moment)
  await child.kill()

  await expectWholeAndClean(host)
})

test.for([
  'create',
  'start: starting QEMU',
  'snapshot: saving',
  'twin: starting QEMU',
  'suspend: ending QEMU',
  'resume: starting QEMU',
  'switch: taking the disks back',
  'kill',
])('nor does one leave a TPM without its QEMU, or a VM without its TPM, at "%s"', async (moment, context) => {
  skipWithout(context, missingTools('swtpm'))
  await using host = await QmpHost.open()
  const child = new Child('host-child.ts', [host.uri, 'churn', host.kernel, 'tpm'])
  await child.printed(moment)
  await child.kill()

  await expectWholeAndClean(host)
})

test.each(['start: starting the processors', 'twin: saving memory', 'suspend: pausing', 'suspend: saving memory'])(
  'a guest that was left paused, since the process was killed at "%s", runs on',
  async (moment) => {
    await using host = await QmpHost.open()
    const child = new Child('host-child.ts', [host.uri, 'churn', host.kernel])
    await child.printed(moment)
    await child.kill()
    await using again = await connect(host.uri).unwrap()
    const [vm] = await again.getVmList().unwrap()
    // The killed process may have finished its operation before.
    expect(['running', 'suspended']).toContain(vm?.state)
    await expectWholeAndClean(host)
  },
)

test('two processes that change VMs of one directory at the same time, and are killed, leave it whole', async () => {
  await using host = await QmpHost.open()
  const children = [1, 2].map(() => new Child('host-child.ts', [host.uri, 'churn', host.kernel]))
  // Each process has finished every kind of change at least once.
  await Promise.all(children.map((child) => child.printed('delete')))
  await Promise.all(children.map((child) => child.kill()))
  await expectWholeAndClean(host)
})

test('VMs outlive a process that is killed, and the next process works on them', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const child = new Child('host-child.ts', [host.uri])
  await child.printed('ready')
  child.send('start web-1')
  await child.printed('did start web-1')
  await child.kill()
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.pause().unwrap()
  await vm.resume().unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(vm.state).toBe('stopped')
})

test('events tell of what another process does, in order', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const seen: string[] = []
  const watching = (async () => {
    for await (const event of host.server.events({ types: ['state'] })) {
      if (event.type !== 'state') continue
      if (event.previous !== undefined) expect(event.previous).toBe(seen.at(-1) ?? 'stopped')
      seen.push(event.state)
    }
  })()
  await using child = new Child('host-child.ts', [host.uri])
  await child.printed('ready')
  for (const [line, state] of [
    ['start', 'running'],
    ['pause', 'paused'],
    ['resume', 'running'],
    ['suspend', 'suspended'],
    ['resume', 'running'],
    ['kill', 'stopped'],
  ] as const) {
    const reached = vm.waitForState(state, patience)
    child.send(`${line} web-1`)
    await reached.unwrap()
    await child.printed(`did ${line} web-1`)
  }
  await host.server.close()
  await watching
  const settled = ['running', 'paused', 'suspended', 'stopped']
  expect(seen.filter((state) => settled.includes(state))).toEqual([
    'running',
    'paused',
    'running',
    'suspended',
    'running',
    'stopped',
  ])
})

test('a state that the host was asked for is told by an event, too, however soon it changes', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const told: string[] = ['stopped']
  const watching = (async () => {
    for await (const event of host.server.events({ types: ['state'] }))
      if (event.type === 'state') told.push(event.state)
  })()
  await using child = new Child('host-child.ts', [host.uri])
  await child.printed('ready')
  const asked: string[] = ['stopped']
  for (const line of ['start', 'pause', 'resume', 'suspend', 'kill'] as const) {
    const ended = child.printed(`did ${line} web-1`)
    child.send(`${line} web-1`)
    while (!child.lines.includes(`did ${line} web-1`)) {
      const state = await vm.getState().unwrap()
      // Without it, only answers of this process would come.
      await setImmediate()
      if (state !== asked.at(-1)) asked.push(state)
    }
    await ended
  }
  await host.server.close()
  await watching
  let next = 0
  for (const state of told) if (state === asked[next]) next += 1
  expect(asked.slice(next), `asked: ${asked.join()}; told: ${told.join()}`).toEqual([])
})
