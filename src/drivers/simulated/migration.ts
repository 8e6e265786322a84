import { InvalidArgumentError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import type { SimulatedHost } from './host.js'
import { findHost } from './hosts.js'
import type { SimulatedVm } from './simulated-vm.js'

/** The host of the URI. Throws if the VM can't be moved there. */
export function requireTarget(host: SimulatedHost, vm: SimulatedVm, uri: string): SimulatedHost {
  const target = findHost(uri)
  if (target === undefined || target === host) {
    throw new InvalidArgumentError({
      path: 'to',
      reason:
        target === host ? 'the VM is on that host already' : `no simulated host has the URI ${JSON.stringify(uri)}`,
      hint: 'Give the uri of another simulated server, or one that it intercepts.',
    })
  }
  target.store.requireFree(vm.name)
  return target
}

/** Moves the VM and all that belongs to it. Its guest goes on there in the same state. */
export function moveTo(target: SimulatedHost, host: SimulatedHost, vm: SimulatedVm, state: VmState): void {
  const memory = vm.machine?.memory
  target.store.requireFree(vm.name)
  const moved = target.adopt(vm)
  if (state === 'running' || state === 'paused') {
    moved.machine = target.lifecycle.newMachine(moved, memory)
    if (state === 'paused') moved.machine.pause()
  }
  moved.state = state
  target.lifecycle.tell('created', moved)
  host.lifecycle.takeAway(vm)
}
