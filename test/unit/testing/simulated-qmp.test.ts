import { HostError } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

test('a test answers the commands of vm.native.qmp as QEMU would, or there are none', async () => {
  await using simulated = createSimulatedServer({ vms: [{ name: 'web-1', state: 'running' }] })
  const vm = await simulated.server.getVm('web-1').unwrap()
  expect((await failureOf(vm.native.qmp('query-status'), 'INVALID_ARGUMENT')).path).toBe('command')

  simulated.onQmp(async ({ command, arguments: args, vm: name }) =>
    command === 'query-block' ? [{ name, ...args }] : undefined,
  )
  expect(await vm.native.qmp('query-block', { flat: true }).unwrap()).toEqual([{ name: 'web-1', flat: true }])
  expect((await failureOf(vm.native.qmp('query-status'), 'INVALID_ARGUMENT')).path).toBe('command')
  expect([...simulated.calls].at(-1)).toMatchObject({ operation: 'native.qmp', outcome: 'INVALID_ARGUMENT' })

  simulated.onQmp(() => ({ at: new Date(0) }) as never)
  await failureOf(vm.native.qmp('query-status'), 'PROTOCOL_ERROR')
  simulated.onQmp(undefined)
  await failureOf(vm.native.qmp('query-status'), 'INVALID_ARGUMENT')
  expect(vm.native.details).toBeUndefined()
})

test('a refusal of QEMU is a fault, or what a handler throws', async () => {
  const native = { driver: 'qmp', code: 'GenericError', message: 'no' }
  const error = new HostError({ reason: 'no', native })
  await using simulated = createSimulatedServer({
    vms: [{ name: 'web-1', state: 'running' }],
    faults: [{ operation: 'native.qmp', input: { command: 'device_add' }, kind: 'error', error }],
  })
  const vm = await simulated.server.getVm('web-1').unwrap()
  simulated.onQmp(() => {
    throw new HostError({ reason: 'not that either', native })
  })
  expect((await failureOf(vm.native.qmp('device_add', { driver: 'pci-testdev' }), 'HOST_ERROR')).reason).toBe('no')
  expect((await failureOf(vm.native.qmp('device_del', { id: 'mine' }), 'HOST_ERROR')).reason).toBe('not that either')
})
