import { GuestUnavailableError } from '../../errors.js'
import type { DriverOperation } from '../../operations.js'
import type { SimulatedHost } from './host.js'
import { requireMachine } from './observing-actions.js'
import type { SimulatedMachine } from './simulated-machine.js'
import type { SimulatedVm } from './simulated-vm.js'

/** A VM with a guest that answers. */
export interface ReachedGuest {
  readonly vm: SimulatedVm
  readonly machine: SimulatedMachine
}

/**
 * @throws InvalidStateError unless the VM is in a state that the operation needs
 * @throws GuestUnavailableError if no agent answers in its guest
 */
export function reachGuest(host: SimulatedHost, id: string, operation: DriverOperation): ReachedGuest {
  const found = requireMachine(host, id, operation)
  if (host.hasAgent(found.vm.config)) return found
  throw new GuestUnavailableError({
    reason: 'no agent answers in the guest',
    hint: 'Install an agent in the guest, or wait until it is up.',
    retryable: true,
  })
}
