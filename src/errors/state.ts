import { HostError, InvalidStateError, ResourceBusyError, type NativeError, type VmError } from '../errors.js'
import type { MediaDrives } from '../model/vm-changes.js'
import type { VmState } from '../model/vm-state.js'
import { operations, type OperationCode, type OperationSpec } from '../operations.js'

const waysOut: Partial<Record<VmState, string>> = {
  stopped: 'Start it with vm.start().',
  running: "Stop it with vm.stop(), or take the power away with vm.stop({ mode: 'kill' }).",
  paused: "Resume it with vm.resume(), or take the power away with vm.stop({ mode: 'kill' }).",
  suspended: "Resume it with vm.resume(), or drop its saved state with vm.stop({ mode: 'kill' }).",
  crashed: 'Start it again with vm.start().',
}

const byForce =
  'Stop it with vm.stop(), or delete it with vm.delete({ force: true }), which takes the power away first.'

/**
 * Throws unless the VM's state is one of those that the operation needs.
 *
 * @param problem the reason for the state, if something is wrong with the VM
 */
export function requireState(
  operation: OperationCode,
  state: VmState,
  expected: readonly VmState[] = expectedStates(operation),
  problem?: VmError,
): void {
  if (expected.includes(state)) return
  if (problem !== undefined) {
    throw invalidState(state, expected, { reason: `it is ${state}: ${problem.reason}`, hint: problem.hint })
  }
  const mayForce = operation === 'vm.delete' && operations['vm.stop'].fromKill.some((killable) => killable === state)
  throw invalidState(state, expected, { hint: mayForce ? byForce : undefined })
}

/**
 * Error for a VM whose state does not allow the operation. The hint says how to leave the state.
 *
 * @param expected the states that the operation needs
 */
export const invalidState = (
  state: VmState,
  expected: readonly VmState[],
  {
    reason = `it is ${state}`,
    native,
    hint = waysOut[state] ?? `Wait until it is ${expected.join(' or ')}, with vm.waitForState().`,
  }: {
    readonly reason?: string
    readonly native?: NativeError | undefined
    readonly hint?: string | undefined
  } = {},
): InvalidStateError =>
  new InvalidStateError({
    state,
    expected,
    reason,
    native,
    hint,
  })

/** Throws if an edit changes the number of drives for media of a VM that runs or has saved memory. What is in them may change. */
export function requireSameDrives(before: MediaDrives, wanted: MediaDrives, state: VmState): void {
  for (const kind of ['cdroms', 'floppies'] as const) {
    if (wanted[kind].length === before[kind].length) continue
    throw invalidState(state, ['stopped', 'crashed'], {
      reason: `it is ${state}, and the number of its drives (${kind}) only changes while it is stopped; what is in them may change`,
      hint: `Stop it first, with vm.stop(). To take a medium out, list its drive without an image: ${kind}: [{}].`,
    })
  }
}

/** Error for a restart whose VM was stopped before its guest shut down: it stays stopped. */
export const stoppedBeforeShutdown = (): InvalidStateError =>
  invalidState('stopped', expectedStates('vm.restart'), {
    reason: 'it was stopped before its guest shut down',
  })

/**
 * Error for an operation whose guest ended in the middle of it. The operation had no effect.
 *
 * @param crash the crash, if it was one
 */
export function guestGone(
  operation: OperationCode | undefined,
  state: VmState,
  crash?: NativeError,
): InvalidStateError | ResourceBusyError | HostError {
  const spec: OperationSpec | undefined = operation && operations[operation]
  const expected = spec?.from ?? []
  if (crash === undefined) {
    if (!expected.includes(state)) return invalidState(state, expected)
    return new ResourceBusyError({ reason: `its guest is gone, and it is ${state}`, hint: 'Try again.' })
  }
  if (!expected.includes(state)) return invalidState(state, expected, crashed(crash))
  if (spec?.to === 'running') return crashedAtStart(crash)
  return new ResourceBusyError({ ...crashed(crash), hint: 'Try again.' })
}

/** Error for a guest that crashed as soon as it ran, and probably will again. */
export const crashedAtStart = (crash: NativeError): HostError =>
  new HostError({ ...crashed(crash), hint: waysOut.crashed })

const crashed = (native: NativeError): { readonly reason: string; readonly native: NativeError } => ({
  reason: `its guest crashed: ${native.message}`,
  native,
})

/** The states from which a VM, or one of its snapshots, can be cloned. */
export const statesToClone = ({
  memory,
  snapshot,
}: {
  readonly memory?: boolean | undefined
  readonly snapshot?: string | undefined
}): readonly VmState[] => {
  if (snapshot !== undefined) return operations['vm.switchToSnapshot'].from
  return memory === true ? operations['vm.clone'].fromMemory : operations['vm.clone'].from
}

const expectedStates = (operation: OperationCode): readonly VmState[] => {
  const spec: OperationSpec = operations[operation]
  return spec.from ?? []
}
