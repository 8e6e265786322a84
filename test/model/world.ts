import type { SnapshotNode, Vm } from 'awaitvm'
import type { ModelSnapshot, ModelVm } from './model-vm.js'

/** A VM of the host, and the same VM in the reference. */
export interface Known {
  readonly vm: Vm
  model: ModelVm
  /** The ids of its snapshots by name. */
  snapshotIds: Map<string, string>
}

/** What the host reports of a VM. */
export async function observe(
  vm: Vm,
): Promise<{ readonly model: ModelVm; readonly snapshotIds: Map<string, string> } | undefined> {
  const found = await vm.refresh()
  if (found.isErr() && found.error.code === 'VM_NOT_FOUND') return undefined
  if (found.isErr()) throw found.error
  const { name, description, labels, ephemeral, memoryMiB } = found.value
  const disks = found.value.disks.map(({ id, sizeMiB = 0 }) => ({ id, sizeMiB }))
  const nodes = flat(await vm.getSnapshotTree().unwrap())
  const nameOf = (id: string | undefined): string | undefined => nodes.find((node) => node.id === id)?.name
  const snapshots = nodes.map((node): ModelSnapshot => ({
    name: node.name,
    parent: nameOf(node.parentId),
    state: node.state,
    // The host does not report it: the value of the reference stands.
    memoryMiB: 0,
    bootMiB: 0,
    disks: [],
  }))
  const current = nodes.find(({ isCurrent }) => isCurrent)?.name
  return {
    model: {
      name,
      state: await vm.getState().unwrap(),
      description,
      label: labels?.['label'],
      // The host does not report whose it is: the value of the reference stands.
      owner: ephemeral === true ? 'first' : undefined,
      memoryMiB,
      bootMiB: 0,
      disks,
      snapshots,
      current,
    },
    snapshotIds: new Map(nodes.map((node) => [node.name, node.id])),
  }
}

const flat = (nodes: readonly SnapshotNode[]): SnapshotNode[] => nodes.flatMap((node) => [node, ...flat(node.children)])

/** True if the reference agrees with what the host reports. */
export function agrees(model: ModelVm | undefined, observed: ModelVm | undefined): boolean {
  if (model === undefined || observed === undefined) return model === observed
  const told = ({ snapshots, bootMiB: _untold, owner, ...rest }: ModelVm): string =>
    JSON.stringify([
      Object.entries(rest).sort(),
      owner !== undefined,
      snapshots.map(({ name, parent, state }) => [name, parent, state]).sort(),
    ])
  return told(model) === told(observed)
}
