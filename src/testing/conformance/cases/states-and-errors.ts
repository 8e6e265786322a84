import { expect } from 'vitest'
import { type OperationSpec, operations } from '../../../operations.js'
import type { VmState } from '../../../model/vm-state.js'
import { failureOf } from '../expect-failure.js'
import { vmCalls, vmOperations, type VmOperation } from '../calls.js'
import { needsOf, reachableStates } from '../reachable-states.js'
import type { Cases } from '../case.js'

/** From the table of operations: in each state that it does not name, the operation is refused, and nothing is changed. */
export const statesAndErrors: Cases = ({ host, promises }) => {
  const check = (operation: VmOperation, state: VmState, expected: readonly VmState[], mode?: 'kill'): void => {
    const title = `${operation}${mode === 'kill' ? ' with mode kill' : ''} of a ${state} VM ends with INVALID_STATE, and leaves the VM unchanged`
    promises(title, [operation, ...needsOf(state)], async (trial) => {
      const vm = await trial.vmIn(state)
      const before = await vm.refresh().unwrap()
      const events = trial.events()
      const error = await failureOf(
        mode === 'kill' ? vm.stop({ mode }) : vmCalls[operation](vm, trial),
        'INVALID_STATE',
      )
      expect(error.state).toBe(state)
      expect(error.expected).toEqual(expected)
      expect(error.operation).toBe(operation)
      expect(error.target).toEqual({ type: 'vm', id: vm.id, name: vm.name })
      expect(error.hint).toBeTruthy()
      expect(error.message).toContain(`Cannot ${operations[operation].phrase} VM ${JSON.stringify(vm.name)}: `)
      expect(error.message).toContain(state)
      await trial.expectState(vm, state)
      expect(await vm.refresh().unwrap()).toEqual(before)
      expect(await trial.server.getVmList().unwrap()).toEqual([vm])
      await events.close()
      expect(events.events).toEqual([])
    })
  }

  for (const operation of vmOperations) {
    const { from: usually, fromKill }: OperationSpec = operations[operation]
    const from = usually
      ?.filter((state) => host.refusedFrom[operation]?.includes(state) !== true)
      .concat(host.allowedFrom[operation] ?? [])
    for (const state of reachableStates(host)) {
      if (from !== undefined && !from.includes(state)) check(operation, state, from)
      if (fromKill !== undefined && !fromKill.includes(state)) check(operation, state, fromKill, 'kill')
    }
  }
}
