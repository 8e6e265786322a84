import { operations, type OperationSpec, type VmState } from 'awaitvm'

/** A disk. Several have the same size: only the ids tell them apart. */
interface ModelDisk {
  readonly id: string
  readonly sizeMiB: number
}

/** A snapshot in the reference. Names are unique within a VM. */
export interface ModelSnapshot {
  readonly name: string
  readonly parent: string | undefined
  readonly state: VmState
  readonly memoryMiB: number
  readonly bootMiB: number
  readonly disks: readonly ModelDisk[]
}

/** The connection that an ephemeral VM ends with: that which is closed now and then, or the second one. */
export type Owner = 'first' | 'second'

/** A VM in a settled state, in the reference. */
export interface ModelVm {
  readonly name: string
  readonly state: VmState
  readonly description: string
  readonly label: string | undefined
  readonly owner: Owner | undefined
  readonly memoryMiB: number
  /** The memory when its guest was started. */
  readonly bootMiB: number
  readonly disks: readonly ModelDisk[]
  readonly snapshots: readonly ModelSnapshot[]
  readonly current: string | undefined
}

/** An action on one VM. */
export type VmAction =
  | { readonly kind: 'look' }
  | { readonly kind: 'move'; readonly operation: Movement; readonly isKill: boolean }
  | { readonly kind: 'describe'; readonly description: string }
  | { readonly kind: 'label'; readonly label: string | undefined }
  | { readonly kind: 'own'; readonly owner: Owner | undefined }
  | {
      readonly kind: 'resize'
      readonly memoryMiB: number
      readonly states: readonly VmState[]
      /** The states in which it may exceed what the guest was started with. */
      readonly growsIn: readonly VmState[]
    }
  | { readonly kind: 'grow'; readonly disk: ModelDisk; readonly states: readonly VmState[] }
  | { readonly kind: 'rename'; readonly name: string; readonly isTaken: boolean }
  | { readonly kind: 'clone'; readonly name: string; readonly isTaken: boolean; readonly owner: Owner | undefined }
  /** A clone with memory: of the snapshot `of`, or of the VM as it is. */
  | { readonly kind: 'twin'; readonly name: string; readonly isTaken: boolean; readonly of: string | undefined }
  | { readonly kind: 'delete' }
  | { readonly kind: 'snapshot'; readonly name: string }
  | { readonly kind: 'switch' | 'drop'; readonly name: string | undefined }
  /** A change that was not asked for: by the guest, or by another client. */
  | { readonly kind: 'happen'; readonly state: VmState; readonly from: readonly VmState[] }

export const movements = [
  'vm.start',
  'vm.stop',
  'vm.pause',
  'vm.resume',
  'vm.suspend',
  'vm.reset',
  'vm.restart',
] as const
type Movement = (typeof movements)[number]

/** The VM after the action, if it succeeds, or the code of the error that it must end with. */
export type Expected = { readonly vm: ModelVm | undefined } | { readonly code: string }

const specOf = {
  move: ({ operation }: { readonly operation: Movement }) => operations[operation],
  describe: () => operations['vm.edit'],
  label: () => operations['vm.edit'],
  own: () => operations['vm.edit'],
  rename: () => operations['vm.edit'],
  clone: () => operations['vm.clone'],
  delete: () => operations['vm.delete'],
  snapshot: () => operations['vm.createSnapshot'],
  switch: () => operations['vm.switchToSnapshot'],
  drop: () => operations['vm.deleteSnapshot'],
}

/** The states from which the action is possible, by the table of operations. */
export function statesFor(action: VmAction): readonly VmState[] | undefined {
  if (action.kind === 'look' || action.kind === 'happen') return undefined
  if (action.kind === 'resize') return action.growsIn
  if (action.kind === 'grow') return action.states
  if (action.kind === 'twin')
    return action.of === undefined ? operations['vm.clone'].fromMemory : operations['vm.switchToSnapshot'].from
  const spec: OperationSpec = action.kind === 'move' ? specOf.move(action) : specOf[action.kind]()
  return action.kind === 'move' && action.isKill ? spec.fromKill : spec.from
}

/** The expected outcome of an action on a VM; `undefined` is a VM that has been deleted. */
export function expectedOf(vm: ModelVm | undefined, action: VmAction): Expected {
  if (vm === undefined) return { code: 'VM_NOT_FOUND' }
  const states = action.kind === 'resize' ? action.states : statesFor(action)
  if (states?.includes(vm.state) === false) return { code: 'INVALID_STATE' }
  switch (action.kind) {
    case 'look':
      return { vm }
    case 'happen':
      return { vm: action.from.includes(vm.state) ? inState(vm, action.state) : vm }
    case 'move':
      return { vm: inState(vm, operations[action.operation].to) }
    case 'describe':
      return { vm: { ...vm, description: action.description } }
    case 'label':
      return { vm: { ...vm, label: action.label } }
    case 'own':
      return { vm: { ...vm, owner: action.owner } }
    case 'resize':
      return resized(vm, action)
    case 'grow':
      return grown(vm, action.disk)
    case 'rename':
      return action.isTaken ? { code: 'ALREADY_EXISTS' } : { vm: { ...vm, name: action.name } }
    case 'clone':
      return action.isTaken ? { code: 'ALREADY_EXISTS' } : { vm }
    case 'twin':
      return twinned(vm, action)
    case 'delete':
      return { vm: undefined }
    case 'snapshot':
      return withSnapshot(vm, action.name)
    case 'switch':
      return switched(vm, action.name)
    case 'drop':
      return withoutSnapshot(vm, action.name)
  }
}

/** A guest that is started gets the memory that the VM has at that moment. */
const inState = (vm: ModelVm, state: VmState): ModelVm => ({
  ...vm,
  state,
  bootMiB: vm.state === 'stopped' || vm.state === 'crashed' ? vm.memoryMiB : vm.bootMiB,
})

function resized(vm: ModelVm, { memoryMiB, growsIn }: Extract<VmAction, { kind: 'resize' }>): Expected {
  if (memoryMiB > vm.bootMiB && !growsIn.includes(vm.state)) return { code: 'INVALID_STATE' }
  return { vm: { ...vm, memoryMiB } }
}

/** A disk that another call has grown does not shrink. */
function grown(vm: ModelVm, { id, sizeMiB }: ModelDisk): Expected {
  if (vm.disks.some((disk) => disk.id === id && disk.sizeMiB > sizeMiB)) return { code: 'INVALID_ARGUMENT' }
  return { vm: { ...vm, disks: vm.disks.map((disk) => (disk.id === id ? { ...disk, sizeMiB } : disk)) } }
}

function twinned(vm: ModelVm, { isTaken, of }: Extract<VmAction, { kind: 'twin' }>): Expected {
  const snapshot = vm.snapshots.find(({ name }) => name === of)
  if (of !== undefined && snapshot === undefined) return { code: 'SNAPSHOT_NOT_FOUND' }
  if (snapshot?.state === 'stopped') return { code: 'INVALID_ARGUMENT' }
  return isTaken ? { code: 'ALREADY_EXISTS' } : { vm }
}

function withSnapshot(vm: ModelVm, name: string): Expected {
  const state: VmState = vm.state === 'running' || vm.state === 'paused' ? vm.state : 'stopped'
  const { memoryMiB, bootMiB, disks } = vm
  const snapshot = { name, parent: vm.current, state, memoryMiB, bootMiB, disks }
  return { vm: { ...vm, snapshots: [...vm.snapshots, snapshot], current: name } }
}

function switched(vm: ModelVm, name: string | undefined): Expected {
  const snapshot = vm.snapshots.find((candidate) => candidate.name === name)
  if (snapshot === undefined) return { code: 'SNAPSHOT_NOT_FOUND' }
  const { state, memoryMiB, bootMiB, disks } = snapshot
  return { vm: { ...vm, state, memoryMiB, bootMiB, disks, current: snapshot.name } }
}

function withoutSnapshot(vm: ModelVm, name: string | undefined): Expected {
  const gone = vm.snapshots.find((candidate) => candidate.name === name)
  if (gone === undefined) return { code: 'SNAPSHOT_NOT_FOUND' }
  const snapshots = vm.snapshots
    .filter((snapshot) => snapshot !== gone)
    .map((snapshot) => (snapshot.parent === gone.name ? { ...snapshot, parent: gone.parent } : snapshot))
  return { vm: { ...vm, snapshots, current: vm.current === gone.name ? gone.parent : vm.current } }
}
