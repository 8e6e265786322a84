import { VmConsole } from '../../console/vm-console.js'
import { invalidState } from '../../errors/state.js'
import { keyScancodes } from '../../keyboard/key-scancodes.js'
import { operations, type OperationCode, type OperationSpec } from '../../operations.js'
import type { Actions } from './action.js'
import type { SimulatedHost } from './host.js'
import type { SimulatedMachine } from './simulated-machine.js'
import { drawScreen } from './screen.js'
import type { SimulatedVm } from './simulated-vm.js'

/** Milliseconds that a guest runs for each millisecond of processor time. */
const runsPerCpuMs = 10

/** The VM and its machine. Throws unless the VM is in a state that the operation needs. */
export function requireMachine(
  { store }: SimulatedHost,
  id: string,
  operation: OperationCode,
): { readonly vm: SimulatedVm; readonly machine: SimulatedMachine } {
  const vm = store.get(id)
  vm.requireState(operation)
  const { machine } = vm
  const { from = [] }: OperationSpec = operations[operation]
  if (machine === undefined) throw invalidState(vm.state, from)
  return { vm, machine }
}

/** The operations that watch a running machine or type on it. */
export const observingActions: Actions<'vm.getStatistics' | 'vm.screenshot' | 'vm.sendKeys' | 'vm.console'> = {
  'vm.getStatistics': (host, run, { vm: id }) =>
    run.look(() => {
      const { vm, machine } = requireMachine(host, id, 'vm.getStatistics')
      const uptimeMs = host.clock.elapsedMs - machine.startedAtMs
      return {
        takenAt: new Date(host.clock.now),
        uptimeMs,
        cpuTimeMs: Math.floor(uptimeMs / runsPerCpuMs),
        memoryMiB: vm.config.memoryMiB,
        diskReadBytes: machine.diskReadBytes,
        diskWrittenBytes: machine.diskWrittenBytes,
        networkReceivedBytes: 0,
        networkSentBytes: 0,
      }
    }, host.store.get(id)),

  'vm.screenshot': async (host, run, { vm: id }) => {
    await run.look(() => requireMachine(host, id, 'vm.screenshot'), host.store.get(id))
    return await run.busy(drawScreen())
  },

  'vm.sendKeys': (host, run, { vm: id, keys }) =>
    run.look(() => {
      const { machine } = requireMachine(host, id, 'vm.sendKeys')
      machine.press(keyScancodes(keys))
    }, host.store.get(id)),

  'vm.console': (host, run, { vm: id }) =>
    run.look(() => {
      const { vm, machine } = requireMachine(host, id, 'vm.console')
      const type = (bytes: Uint8Array): Promise<void> =>
        machine.type(Buffer.from(bytes).toString('utf8'), vm.handlers?.input)
      return new VmConsole('simulated', machine.console, type)
    }, host.store.get(id)),
}
