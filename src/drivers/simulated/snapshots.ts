import { requireSnapshot, withoutSnapshot } from '../../driver/snapshot-list.js'
import { snapshotTree } from '../../model/snapshot-tree.js'
import type { Snapshot, SnapshotNode } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import type { SimulatedHost } from './host.js'
import type { SimulatedVm, SnapshotRecord } from './simulated-vm.js'

export function takeSnapshot(
  host: SimulatedHost,
  vm: SimulatedVm,
  { name, description }: { readonly name: string; readonly description: string },
  state: VmState,
): Snapshot {
  const snapshot: SnapshotRecord = {
    id: host.newId(),
    name,
    description,
    createdAtMs: host.clock.now,
    parentId: vm.currentSnapshot,
    state: state === 'running' || state === 'paused' ? state : 'stopped',
    content: vm.content,
    memory: vm.machine?.memory,
  }
  vm.snapshots = [...vm.snapshots, snapshot]
  vm.currentSnapshot = snapshot.id
  host.lifecycle.tell('snapshots', vm)
  return shown(vm, snapshot)
}

/** Restores disks, settings and state. Name, description, labels and what the VM ends with stay. */
export function switchToSnapshot({ lifecycle }: SimulatedHost, vm: SimulatedVm, id: string): VmState {
  const { content, state, memory } = requireSnapshot(vm.snapshots, id)
  const { name, description, labels, ephemeral } = vm.config
  lifecycle.kill(vm)
  vm.content = { ...content, config: { ...content.config, name, description, labels, ephemeral } }
  vm.currentSnapshot = id
  if (state !== 'stopped') lifecycle.powerOn(vm, memory, state)
  lifecycle.tell('snapshots', vm)
  return state
}

/** Deletes a snapshot. Those made on top of it stay. */
export function deleteSnapshot({ lifecycle }: SimulatedHost, vm: SimulatedVm, id: string): void {
  Object.assign(vm, withoutSnapshot(vm, id))
  lifecycle.tell('snapshots', vm)
}

export const shownTree = (vm: SimulatedVm): SnapshotNode[] =>
  snapshotTree(vm.snapshots.map((snapshot) => shown(vm, snapshot)))

const shown = (vm: SimulatedVm, { id, name, description, createdAtMs, parentId, state }: SnapshotRecord): Snapshot => ({
  id,
  name,
  description,
  createdAt: new Date(createdAtMs),
  parentId,
  state,
  isCurrent: vm.currentSnapshot === id,
})
