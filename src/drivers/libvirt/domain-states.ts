import type { VmState } from '../../model/vm-state.js'

/** A domain's state and the reason for it, as numbers of `virDomainState` and its reasons. */
export interface DomainState {
  readonly state: number
  readonly reason: number
}

const states: Readonly<Record<number, VmState>> = {
  1: 'running',
  // Blocked on a resource.
  2: 'running',
  3: 'paused',
  // The guest is off, and its QEMU is still there.
  4: 'stopping',
  5: 'stopped',
  6: 'crashed',
  // Suspended by the guest itself, in memory.
  7: 'paused',
}

/** Paused for the time of a change, by `virDomainPausedReason`. */
const pausedFor: Readonly<Record<number, VmState>> = {
  2: 'migrating',
  3: 'suspending',
  8: 'stopping',
  9: 'snapshotting',
  11: 'starting',
}

const paused = 3
const off = 5
const asleep = 7

/** @param isSaved whether libvirt keeps the memory of a domain that is off */
export function vmStateOf({ state, reason }: DomainState, isSaved: boolean): VmState {
  if (state === off && isSaved) return 'suspended'
  return (state === paused ? pausedFor[reason] : undefined) ?? states[state] ?? 'unknown'
}

export const isOff = ({ state }: DomainState): boolean => state === off

/** Whether the guest has gone to sleep by itself: then it is woken up, not resumed. */
export const isAsleep = ({ state }: DomainState): boolean => state === asleep
