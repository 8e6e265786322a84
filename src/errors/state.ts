import { InvalidStateError, ResourceBusyError } from '../errors.js'
import type { VmState } from '../model/vm-state.js'
import { operations, type OperationCode, type OperationSpec } from '../operations.js'

const waysOut: Partial<Record<VmState, string>> = {
  stopped: 'Start it with vm.start().',
  running: "Stop it with vm.stop(), or take the power away with vm.stop({ mode: 'kill' }).",
  paused: "Resume it with vm.resume(), or take the power away with vm.stop({ mode: 'kill' }).",
  suspended: "Resume it with vm.resume(), or drop its saved state with vm.stop({ mode: 'kill' }).",
  crashed: 'Start it again with vm.start().',
}

/** Throws unless the VM's state is one of those that the operation needs. */
export function requireState(
  operation: OperationCode,
  state: VmState,
  expected: readonly VmState[] = expectedStates(operation),
): void {
  if (!expected.includes(state)) throw invalidState(state, expected)
}

export const invalidState = (state: VmState, expected: readonly VmState[]): InvalidStateError =>
  new InvalidStateError({
    state,
    expected,
    reason: `it is ${state}`,
    hint: waysOut[state] ?? `Wait until it is ${expected.join(' or ')}, with vm.waitForState().`,
  })

/** A restart whose VM was stopped by somebody before its guest shut down: it stays stopped. */
export const stoppedMeanwhile = (): InvalidStateError =>
  new InvalidStateError({
    state: 'stopped',
    expected: expectedStates('vm.restart'),
    reason: 'it was stopped otherwise, before its guest shut down',
    hint: waysOut.stopped,
  })

/** The guest has gone while something was being done to its VM, which is not done then. */
export function goneMeanwhile(
  operation: OperationCode | undefined,
  state: VmState,
): InvalidStateError | ResourceBusyError {
  const expected = operation === undefined ? [] : expectedStates(operation)
  if (!expected.includes(state)) return invalidState(state, expected)
  return new ResourceBusyError({ reason: `its guest went down meanwhile, and it is ${state}`, hint: 'Try again.' })
}

const expectedStates = (operation: OperationCode): readonly VmState[] => {
  const spec: OperationSpec = operations[operation]
  return spec.from ?? []
}
