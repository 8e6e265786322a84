import { expect } from 'vitest'
import { type OperationSpec, operations } from '../../../operations.js'
import type { VmState } from '../../../model/vm-state.js'
import { vmCalls, vmOperations, type VmOperation } from '../calls.js'
import { needsOf, reachableStates } from '../reachable-states.js'
import type { Cases } from '../case.js'

/** True for operations with subjects of their own: they need an agent in the guest, another host, or a disk. */
const isElsewhere = (operation: VmOperation): boolean =>
  operation.startsWith('guest.') || operation === 'vm.migrate' || operation === 'vm.exportDisk'

/** From the table of operations: in each state that it names, the operation succeeds, and leads where it says. */
export const stateChanges: Cases = ({ host, promises }) => {
  const states = reachableStates(host)
  const check = (operation: VmOperation, from: VmState, mode?: 'kill'): void => {
    const { to }: OperationSpec = operations[operation]
    const title = `${operation}${mode === 'kill' ? ' with mode kill' : ''} of a ${from} VM ${to === undefined ? 'succeeds' : `leads to ${to}`}`
    const isOfSnapshot = operation === 'vm.switchToSnapshot' || operation === 'vm.deleteSnapshot'
    const needs = isOfSnapshot ? (['vm.createSnapshot', 'vm.getSnapshotTree'] as const) : []
    promises(title, [operation, ...needs, ...needsOf(from)], async (trial) => {
      let leadsTo = to ?? from
      // A suspended VM can't have a snapshot made: it is made before.
      const vm = await trial.vmIn(isOfSnapshot && from === 'suspended' ? 'running' : from)
      if (isOfSnapshot) {
        const { state } = await vm.createSnapshot({ name: 'before' }).unwrap()
        if (operation === 'vm.switchToSnapshot') leadsTo = state
        if (from === 'suspended') await vm.suspend().unwrap()
      }
      const result = await (mode === 'kill' ? vm.stop({ mode }) : vmCalls[operation](vm, trial))
      if (result.isErr()) throw result.error
      if (operation === 'vm.delete' || operation === 'vm.unregister') {
        expect(await trial.server.getVmList().unwrap()).toEqual([])
      } else {
        await trial.expectState(vm, leadsTo)
      }
    })
  }

  for (const operation of vmOperations) {
    const { from, fromKill = [] }: OperationSpec = operations[operation]
    if (from === undefined || isElsewhere(operation)) continue
    for (const state of states) {
      const isRefused = host.refusedFrom[operation]?.includes(state) === true
      if (from.includes(state) && !isRefused) check(operation, state)
      if (fromKill.includes(state)) check(operation, state, 'kill')
    }
  }
}
