import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import type { Cases } from '../case.js'

/** Every operation of a VM that was deleted. */
export const notFound: Cases = ({ host, promises }) => {
  for (const operation of vmOperations) {
    promises(
      `${operation} of a VM that was deleted ends with VM_NOT_FOUND`,
      [operation, 'vm.delete'],
      async (trial) => {
        const other = await trial.createVm()
        const vm = await trial.createVm()
        await vm.delete().unwrap()
        const error = await failureOf(vmCalls[operation](vm, trial), 'VM_NOT_FOUND')
        expect(error.operation).toBe(operation)
        expect(error.target?.name).toBe(vm.name)
        expect(error.message).toContain(JSON.stringify(vm.name))
        expect(error.hint).toBeTruthy()
        expect(await trial.server.getVmList().unwrap()).toEqual([other])
      },
    )
  }

  promises('a new VM with the name of a deleted one is another VM', ['vm.delete'], async (trial) => {
    const first = await trial.createVm({ name: 'same' })
    await first.delete().unwrap()
    const second = await trial.createVm({ name: 'same' })
    expect(second.id).not.toBe(first.id)
    expect(second).not.toBe(first)
    await failureOf(first.getState(), 'VM_NOT_FOUND')
    await trial.expectState(second, 'stopped')
  })

  promises(
    'waiting for a state ends with VM_NOT_FOUND when the VM is deleted',
    ['vm.waitForState', 'vm.delete'],
    async (trial) => {
      const vm = await trial.createVm()
      const waiting = vm.waitForState('running')
      await vm.delete().unwrap()
      await failureOf(waiting, 'VM_NOT_FOUND')
    },
  )

  if (!host.keepsVms) return

  promises(
    'a VM that another connection has deleted ends with VM_NOT_FOUND',
    ['vm.delete', 'vm.start'],
    async (trial) => {
      const vm = await trial.createVm()
      const other = await trial.connectAgain()
      await (await other.getVm(vm.id).unwrap()).delete().unwrap()
      await failureOf(vm.start(), 'VM_NOT_FOUND')
      await failureOf(vm.getState(), 'VM_NOT_FOUND')
    },
  )
}
