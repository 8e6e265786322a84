import { invalidState, stoppedBeforeShutdown } from '../../errors/state.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import type { SimulatedHost } from './host.js'
import type { Run } from './run.js'

/**
 * Presses the power button at the end of the operation's time, and waits until the guest has powered off. The VM stays free for
 * other operations. It can be cancelled until the guest acknowledges the button.
 */
export async function shutDown(
  host: SimulatedHost,
  run: Run,
  id: string,
  operation: 'vm.stop' | 'vm.restart',
): Promise<VmState> {
  const vm = host.store.get(id)
  run.begin(vm)
  const { lifecycle } = host
  host.store.get(id).requireState(operation)
  const { machine } = vm
  if (machine === undefined) throw invalidState(vm.state, operations[operation].from)
  const { through } = operations[operation]
  const show = (state: VmState): void => {
    run.act(() => {
      lifecycle.setState(vm, state)
    })
  }
  const isWilling = machine.obeysPowerButton
  if (isWilling) show(through)
  vm.isShuttingDown = isWilling
  // The wait also ends if something else ends the machine.
  const unlisten = machine.onEnd(() => {
    run.onMachineEnd(invalidState(vm.state, operations[operation].from))
  })
  try {
    if (run.takesTime(vm)) await run.spend(vm, isWilling ? through : 'waiting for the guest')
    unlisten()
    run.throwIfInterrupted()
    const press = machine.pressPowerButton()
    if (press !== 'off') {
      if (vm.state === through) show('running')
      if (press === 'refused') run.refuseCancels()
      await run.wait((resolve) => machine.onEnd(resolve))
    }
  } catch (error) {
    // The VM was stopped nevertheless.
    if (!(machine.hasEnded && vm.state === 'stopped')) throw error
  } finally {
    unlisten()
    vm.isShuttingDown = false
    if (vm.state === through && !machine.hasEnded) show('running')
  }
  if (vm.state !== 'stopped') throw invalidState(vm.state, operations[operation].from)
  // A VM that something else stopped must stay stopped.
  if (operation === 'vm.restart' && !machine.hasShutDown) throw stoppedBeforeShutdown()
  return vm.state
}
