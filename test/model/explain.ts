import type { VmState } from 'awaitvm'
import { expectedOf, statesFor, type ModelVm, type VmAction } from './model-vm.js'

/** How an action ended. */
export interface Ended {
  readonly action: VmAction
  /** `'SUCCESS'` or the error's code; absent if it is unknown whether it took place. */
  readonly code: string | undefined
  /** The state in an InvalidStateError. */
  readonly state?: VmState | undefined
  readonly expected?: readonly VmState[] | undefined
  /** True if a trouble had to make it fail, with nothing done. */
  readonly mayFail?: boolean | undefined
}

/** Codes that mean that nothing was done, in any state of the VM. */
const withoutEffect = new Set(['JOB_CANCELLED', 'RESOURCE_BUSY', 'CONNECTION_FAILED'])
/** The transient states of an operation, which another one may meet. */
const transient = new Set<VmState>([
  'starting',
  'stopping',
  'pausing',
  'resuming',
  'suspending',
  'resetting',
  'snapshotting',
  'cloning',
  'migrating',
])

/**
 * Looks for an order of the actions, one after another, that explains how each ended and what the VM has become. `undefined` if
 * there is none: then the host has broken its promises.
 */
export function explain(
  vm: ModelVm | undefined,
  ended: readonly Ended[],
  fits: (vm: ModelVm | undefined) => boolean,
  isContended = ended.length > 1,
): { readonly vm: ModelVm | undefined } | undefined {
  if (ended.length === 0) return fits(vm) ? { vm } : undefined
  for (const [index, next] of ended.entries()) {
    const rest = ended.toSpliced(index, 1)
    for (const after of outcomesOf(vm, next, isContended)) {
      const found = explain(after.vm, rest, fits, isContended)
      if (found !== undefined) return found
    }
    if (!isContended || vm?.state !== 'running' || !endsGuest(next)) continue
    // Other actions may come between the end of one guest and the start of the next.
    const left = isRestart(next) ? [...rest, { ...next, action: start }] : rest
    // A wait for the end of a guest is also met by an end that another action causes.
    const between: ModelVm[] = [{ ...vm, state: 'stopped' }, ...(rest.some(endsGuest) ? [vm] : [])]
    for (const then of between) {
      const found = explain(then, left, fits, isContended)
      if (found !== undefined) return found
    }
  }
  return undefined
}

const start: VmAction = { kind: 'move', operation: 'vm.start', isKill: false }
const isRestart = ({ action }: Ended): boolean => action.kind === 'move' && action.operation === 'vm.restart'
/** True if the power went off: by the action or by the guest. A restart may have failed after that. */
const endsGuest = ({ action, code }: Ended): boolean =>
  action.kind === 'move' &&
  (action.operation === 'vm.restart'
    ? !withoutEffect.has(code ?? '')
    : action.operation === 'vm.stop' && code === 'SUCCESS')

/** True if the power button may have been pressed while the guest was paused, or just before it was saved. */
export const mayGoDownLater = (ended: readonly Ended[]): boolean =>
  ended.some(pressesButton) && ended.some(({ action, code }) => code === 'OUTCOME_UNKNOWN' || keepsGuest(action, code))

const pressesButton = ({ action }: Ended): boolean =>
  action.kind === 'move' && !action.isKill && (action.operation === 'vm.stop' || action.operation === 'vm.restart')
const keepsGuest = (action: VmAction, code: string | undefined): boolean =>
  code === 'SUCCESS' &&
  (action.kind === 'snapshot' ||
    (action.kind === 'move' && (action.operation === 'vm.pause' || action.operation === 'vm.suspend')))

/** The states that the VM may be in after the action, if the action can end as it did. */
function outcomesOf(
  vm: ModelVm | undefined,
  ended: Ended,
  isContended: boolean,
): { readonly vm: ModelVm | undefined }[] {
  const { action, code, mayFail } = ended
  const expected = expectedOf(vm, action)
  const unchanged = { vm }
  if (code === undefined || code === 'OUTCOME_UNKNOWN') return 'code' in expected ? [unchanged] : [expected, unchanged]
  if (withoutEffect.has(code) || (mayFail === true && code !== 'SUCCESS')) return [unchanged]
  if (code === 'SUCCESS') return 'code' in expected ? [] : [expected]
  if (code !== 'INVALID_STATE') return 'code' in expected && expected.code === code ? [unchanged] : []
  // Another action may be under way.
  if (isContended && ended.state !== undefined && transient.has(ended.state)) return [unchanged]
  const isRight = vm !== undefined && 'code' in expected && expected.code === code && ended.state === vm.state
  if (isContended) return isRight ? [unchanged] : []
  const states = statesFor(action)
  return isRight && states?.every((state) => ended.expected?.includes(state)) === true ? [unchanged] : []
}
