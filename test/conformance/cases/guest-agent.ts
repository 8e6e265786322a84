import { expect } from 'vitest'
import { failureOf } from '../../support/expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import type { Cases } from '../suite.js'

/** The guest of this suite has no agent. */
export const guestAgent: Cases = ({ promises }) => {
  for (const operation of vmOperations.filter((operation) => operation.startsWith('guest.'))) {
    promises(
      `${operation} ends with GUEST_UNAVAILABLE where no agent answers`,
      [operation, 'vm.start', 'vm.console'],
      async (trial) => {
        const vm = await trial.vmIn('running')
        const error = await failureOf(vmCalls[operation](vm, trial), 'GUEST_UNAVAILABLE')
        expect(error.hint).toBeTruthy()
        await trial.expectState(vm, 'running')
      },
    )
  }
}
