import { diskFull } from '../../errors/disk-full.js'
import { guestGone } from '../../errors/state.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import type { HostClock } from './clock.js'
import type { InterferenceChange } from './fault.js'
import { HostPorts } from './host-ports.js'
import { SimulatedMachine, type MachineWatcher } from './simulated-machine.js'
import type { GuestMemory } from './serial-guest.js'
import type { SimulatedVm } from './simulated-vm.js'
import type { SimulatedVmStore } from './simulated-vm-store.js'

/** Why a state changed, and the host's message. */
interface Cause {
  readonly reason: 'guest' | 'request' | 'crash' | 'disk-full'
  readonly message?: string | undefined
}

const request: Cause = { reason: 'request' }
const byGuest: Cause = { reason: 'guest' }

/** Changes the states of VMs, at once and unchecked. */
export class SimulatedLifecycle {
  readonly #store: SimulatedVmStore
  readonly #clock: HostClock
  readonly #hostPorts = new HostPorts()
  readonly #emit: (makeEvent: () => VmEvent) => void
  /** Shared by all machines, since a hundred thousand may run. */
  readonly #watcher: MachineWatcher<SimulatedVm> = {
    poweredOff: (vm) => {
      this.#leave(vm, 'stopped', byGuest)
    },
    crashed: (vm, message) => {
      this.#leave(vm, 'crashed', { reason: 'crash', message })
    },
  }

  /** @param emit passes an event to the connections; the event is made only if one of them listens */
  constructor(store: SimulatedVmStore, clock: HostClock, emit: (makeEvent: () => VmEvent) => void) {
    this.#store = store
    this.#clock = clock
    this.#emit = emit
  }

  setState(vm: SimulatedVm, state: VmState, { reason, message }: Cause = request): void {
    const previous = vm.state
    if (previous === state) return
    vm.state = state
    this.#emit(() => ({
      type: 'state',
      vmId: vm.id,
      name: vm.name,
      state,
      previous,
      reason,
      ...(message !== undefined && { message }),
      at: new Date(this.#clock.now),
    }))
  }

  tell(type: 'created' | 'deleted' | 'config' | 'snapshots', { id, name }: SimulatedVm): void {
    this.#emit(() => ({ type, vmId: id, name, at: new Date(this.#clock.now) }))
  }

  /** Runs a guest: one that boots, or one that goes on with its memory. */
  powerOn(vm: SimulatedVm, memory?: GuestMemory, state: 'running' | 'paused' = 'running'): VmState {
    vm.memory = undefined
    vm.machine = this.newMachine(vm, memory)
    if (state === 'paused') vm.machine.pause()
    this.setState(vm, state)
    return state
  }

  newMachine(vm: SimulatedVm, memory?: GuestMemory): SimulatedMachine {
    this.findHostPorts(vm)
    return new SimulatedMachine<SimulatedVm>(vm, this.#watcher, this.#clock.elapsedMs, memory)
  }

  /** Gives each port forward of a running VM its port on the host. */
  findHostPorts(vm: SimulatedVm): void {
    const adapters = this.#hostPorts.findFor(vm.content.adapters)
    if (adapters !== vm.content.adapters) vm.content = { ...vm.content, adapters }
  }

  pause(vm: SimulatedVm): VmState {
    vm.machine?.pause()
    this.setState(vm, 'paused')
    return 'paused'
  }

  resume(vm: SimulatedVm): VmState {
    const { machine } = vm
    if (machine === undefined) return this.powerOn(vm, vm.memory)
    this.setState(vm, 'running')
    machine.resume(vm.handlers?.input)
    return vm.state
  }

  suspend(vm: SimulatedVm): VmState {
    const memory = vm.machine?.memory
    this.#endMachine(vm, () => {
      vm.memory = memory
      this.setState(vm, 'suspended')
    })
    return 'suspended'
  }

  reset(vm: SimulatedVm): VmState {
    vm.machine?.reset()
    this.setState(vm, 'running')
    return 'running'
  }

  /** Turns the power off, and drops saved memory. */
  kill(vm: SimulatedVm): VmState {
    this.#leave(vm, 'stopped', request)
    return 'stopped'
  }

  /** Makes a change of another client, if the VM's state allows it. */
  interfere(vm: SimulatedVm, change: InterferenceChange): void {
    const { state } = vm
    const isOn = state === 'running' || state === 'paused'
    if (change === 'start' && (state === 'stopped' || state === 'crashed')) this.powerOn(vm)
    else if (change === 'stop' && (isOn || state === 'suspended' || state === 'crashed')) this.kill(vm)
    else if (change === 'pause' && state === 'running') this.pause(vm)
    else if (change === 'resume' && (state === 'paused' || state === 'suspended')) this.resume(vm)
    else if (change === 'suspend' && isOn) this.suspend(vm)
    else if (change === 'delete') {
      if (isOn) this.kill(vm)
      this.delete(vm)
    }
  }

  delete(vm: SimulatedVm): void {
    this.#store.remove(vm)
    this.tell('deleted', vm)
  }

  /** Removes a VM that has moved to another host with its guest. */
  takeAway(vm: SimulatedVm): void {
    const { machine } = vm
    machine?.end()
    vm.machine = undefined
    this.delete(vm)
    machine?.tellEnd()
  }

  /** Crashes the guest, also while it is starting. False if there is none. */
  crash(vm: SimulatedVm, message: string): boolean {
    if (vm.machine === undefined && vm.state !== 'starting' && vm.state !== 'resuming') return false
    this.#leave(vm, 'crashed', { reason: 'crash', message })
    return true
  }

  /** Pauses the guest, since the host has no room for what it writes. False if it does not run. */
  fillDisk(vm: SimulatedVm): boolean {
    const { machine } = vm
    if (machine === undefined || vm.state !== 'running') return false
    const problem = diskFull()
    machine.pause()
    machine.problem = problem
    this.setState(vm, 'paused', { reason: 'disk-full', message: problem.message })
    return true
  }

  /** Powers the guest off from inside. False if there is none. */
  powerOff(vm: SimulatedVm): boolean {
    if (vm.machine === undefined) return false
    this.#leave(vm, 'stopped', byGuest)
    return true
  }

  #leave(vm: SimulatedVm, state: 'stopped' | 'crashed', cause: Cause): void {
    if (vm.machine !== undefined) vm.machine.hasShutDown = cause === byGuest
    this.#endMachine(
      vm,
      () => {
        vm.memory = undefined
        this.setState(vm, state, cause)
      },
      cause,
    )
  }

  /** Ends the machine, and what others do with it. */
  #endMachine(vm: SimulatedVm, enter: () => void, { message }: Cause = request): void {
    const { machine } = vm
    machine?.end()
    vm.machine = undefined
    enter()
    machine?.tellEnd()
    const { holder } = vm
    // A kill has what it was to bring about, and ends in its time.
    if (holder?.operation === 'vm.stop') return
    const crash = message === undefined ? undefined : { driver: 'simulated', message }
    holder?.onMachineEnd(guestGone(holder.operation, vm.state, crash))
  }
}
