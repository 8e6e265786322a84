import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { within } from '../../src/testing/conformance/deadline.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

/** The names of the host's VMs, once there is one, or none is left. */
async function namesOnHost(double: PrlctlDouble, isAny: boolean): Promise<readonly string[]> {
  for (;;) {
    const names = (await double.truth()).map(({ name }) => name)
    if (names.length > 0 === isAny) return names
  }
}

test('an unfinished VM is invisible, and is removed once its creator has ended', async () => {
  await using double = await PrlctlDouble.make({ hangs: ['set'] })
  await using other = await connect(double.uri).unwrap()
  const events = new EventLog(other.events())
  await using child = new Child('host-child.ts', [double.uri])
  await child.printed('ready')
  child.send('create web-1')
  const [draft] = await within(namesOnHost(double, true), () => 'the creation')

  expect(draft).toMatch(/^awaitvm-draft-/)
  expect(await other.getVmList().unwrap()).toEqual([])
  // A close waits for the removal that the connection began.
  await (await connect(double.uri).unwrap()).close().unwrap()
  expect(await namesOnHost(double, true), 'it is still being made').toEqual([draft])

  await child.kill()
  await double.endProcesses()
  await using again = await connect(double.uri).unwrap()
  await within(namesOnHost(double, false), () => 'the draft to go')
  expect(await again.getVmList().unwrap()).toEqual([])
  expect(await double.files()).toEqual([])
  await double.set({})
  await again.createVm({ name: 'web-1' }).unwrap()
  await other.getVmList().unwrap()
  await events.close()
  expect(events.events.map((event) => (event.type === 'created' ? event.name : event.type))).toEqual(['web-1'])
})

test('a VM whose creator is killed after the last step is complete', async () => {
  await using double = await PrlctlDouble.make({ endings: { set: 'hang' } })
  await using child = new Child('host-child.ts', [double.uri])
  await child.printed('ready')
  child.send('create web-1')
  const named = async (): Promise<void> => {
    while (!(await double.truth()).some(({ name }) => name === 'web-1'));
  }
  await within(named(), () => 'the creation')
  await child.kill()
  await double.endProcesses()
  await double.set({})
  await using again = await connect(double.uri).unwrap()
  const vms = await again.getVmList().unwrap()
  expect(vms.map(({ config }) => [config.name, config.cpus])).toEqual([['web-1', 1]])
})

test('a clone whose creator is killed is complete, or does not exist', async () => {
  await using double = await PrlctlDouble.make({ delays: { clone: 300 } })
  await using child = new Child('host-child.ts', [double.uri])
  await child.printed('ready')
  child.send('create web-1')
  await child.printed('did create web-1')
  child.send('clone web-1')
  const begun = async (): Promise<void> => {
    while (!(await double.processes()).some((line) => line.includes('clone')));
  }
  await within(begun(), () => 'the clone')
  await child.kill()
  await double.endProcesses()
  await using again = await connect(double.uri).unwrap()
  const names = (await double.truth()).map(({ name }) => name).sort()
  expect([['web-1'], ['web-1', 'web-1-copy']]).toContainEqual(names)
  for (const vm of await again.getVmList().unwrap()) {
    await vm.start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.delete().unwrap()
  }
  expect(await double.files()).toEqual([])
})
