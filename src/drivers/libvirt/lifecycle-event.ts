import type { VmSight } from '../../driver/inventory.js'
import type { VmState } from '../../model/vm-state.js'
import type { EventFields } from './rpc/event-messages.js'

/** `virDomainEventType`, as far as it tells a state. */
const Event = { started: 2, suspended: 3, resumed: 4, stopped: 5, asleep: 7, crashed: 8 } as const

const stateAfter: Readonly<Record<number, VmState>> = {
  [Event.started]: 'running',
  [Event.suspended]: 'paused',
  [Event.resumed]: 'running',
  [Event.stopped]: 'stopped',
  [Event.asleep]: 'paused',
  [Event.crashed]: 'crashed',
}

/** `virDomainEventStoppedDetailType`: by its guest, by a crash, with its memory saved. */
const Stopped = { shutdown: 0, crashed: 2, saved: 4 } as const

/** `virDomainEventSuspendedDetailType`: for a migration, a snapshot, or what a client asked for. */
const pausedForChange: readonly number[] = [1, 5, 6]

/**
 * What an event tells of a VM's state. Absent if it tells none: the VM is new, changed, gone, or paused for the time of a change.
 *
 * @param isBusy whether a change of this connection is under way, which is the reason then
 */
export function lifecycleSight(
  { dom, event, detail }: EventFields<'lifecycle'>,
  isBusy: boolean,
): (VmSight & { readonly state: VmState }) | undefined {
  const state = stateOf(event, detail)
  if (state === undefined || (event === Event.suspended && pausedForChange.includes(detail))) return undefined
  const vm = { id: dom.uuid, name: dom.name, state }
  if (state === 'crashed' || (event === Event.stopped && detail === Stopped.crashed)) return { ...vm, reason: 'crash' }
  if (isBusy) return vm
  return { ...vm, reason: event === Event.stopped && detail === Stopped.shutdown ? 'guest' : 'request' }
}

function stateOf(event: number, detail: number): VmState | undefined {
  if (event === Event.stopped && detail === Stopped.saved) return 'suspended'
  return stateAfter[event]
}
