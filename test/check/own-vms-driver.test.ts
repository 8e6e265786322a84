import { connect, type Server, type VmEvent } from 'awaitvm'
import { createSimulatedServer, type SimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import type { DriverOperations } from '../../src/driver/driver.js'
import type { Task } from '../../src/driver/task.js'
import { intercept, loaderOf } from '../../src/schemes.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { leftOut, OwnVmsDriver } from './own-vms-driver.js'

interface OwnHost {
  readonly simulated: SimulatedServer
  /** What the cases of a check have. */
  readonly own: Server
  readonly driver: OwnVmsDriver
  readonly task: Task
}

/** A host with a VM of somebody else, and a view of it with its own VMs only. */
async function withOwnHost(run: (host: OwnHost) => Promise<void>): Promise<void> {
  await using simulated = createSimulatedServer({ vms: [{ name: 'payroll', state: 'running' }] })
  const { uri } = simulated.server
  const open = await loaderOf(uri)?.()
  let opened: Pick<OwnHost, 'driver' | 'task'> | undefined
  const release = intercept('own:', async (_uri, task) => {
    const driver = new OwnVmsDriver(await open!(new URL(uri), task), 'own-')
    opened = { driver, task }
    return driver
  })
  try {
    await using own = await connect('own:').unwrap()
    await run({ simulated, own, ...opened! })
  } finally {
    release()
  }
}

test('VMs of others are not shown', async () => {
  await withOwnHost(async ({ simulated, own }) => {
    const { id } = simulated.vm('payroll')
    expect(await own.getVmList().unwrap()).toEqual([])
    expect(await own.getVmList({ name: 'payroll' }).unwrap()).toEqual([])
    await failureOf(own.getVm('payroll'), 'VM_NOT_FOUND')
    await failureOf(own.getVm(id), 'VM_NOT_FOUND')
  })
})

test('no operation affects a VM of others, even by its id', async () => {
  await withOwnHost(async ({ simulated, driver, task }) => {
    const { id: vm } = simulated.vm('payroll')
    const before = simulated.calls.length
    const ofVms = (Object.keys(driver.operations) as (keyof DriverOperations)[]).filter((code) =>
      /^(vm|guest)\./.test(code),
    )
    expect(ofVms.length).toBeGreaterThan(20)
    for (const code of ofVms) {
      const perform = driver.operations[code] as (input: unknown, task: Task) => Promise<unknown>
      await expect(perform({ vm, changes: {}, name: 'copy', linked: false }, task)).rejects.toMatchObject({
        code: 'VM_NOT_FOUND',
      })
    }
    expect(simulated.calls.length).toBe(before)
    expect(simulated.vm('payroll').state).toBe('running')
  })
})

test('its own VMs have their names, which on the host begin with the prefix', async () => {
  await withOwnHost(async ({ simulated, own }) => {
    const vm = await own.createVm({ name: 'payroll' }).unwrap()
    expect(vm.name).toBe('payroll')
    expect(simulated.vm('own-payroll').id).toBe(vm.id)
    expect((await vm.edit({ name: 'other' }).unwrap()).name).toBe('other')
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    expect(simulated.vm('own-copy').id).toBe(copy.id)
    expect((await own.getVmList().unwrap()).map(({ name }) => name).sort()).toEqual(['copy', 'other'])
    expect(await own.getVm('copy').unwrap()).toBe(copy)
    expect(await own.getVm(copy.id).unwrap()).toBe(copy)
    await failureOf(own.getVm('own-copy'), 'VM_NOT_FOUND')
    await vm.delete().unwrap()
    expect(simulated.vm('payroll').state).toBe('running')
  })
})

test('only events of its own VMs are reported', async () => {
  await withOwnHost(async ({ simulated, own }) => {
    const log = new EventLog(own.events())
    await (await simulated.server.getVm('payroll').unwrap()).pause().unwrap()
    const vm = await own.createVm({ name: 'mine' }).unwrap()
    await vm.start().unwrap()
    await log.until((event) => event.type === 'state' && event.state === 'running')
    const names = log.events.map((event: VmEvent) => ('name' in event ? event.name : event.type))
    expect(new Set(names)).toEqual(new Set(['mine']))
  })
})

test("operations that can't be undone are not offered", async () => {
  await withOwnHost(async ({ simulated, own }) => {
    for (const capability of Object.keys(leftOut) as (keyof typeof leftOut)[]) {
      expect(simulated.server.capabilities).toContain(capability)
      expect(own.capabilities).not.toContain(capability)
    }
  })
})
