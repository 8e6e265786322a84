import type { Job, OperationCode } from 'awaitvm'
import type { ModelHost } from './model-host.js'
import type { Owner, VmAction } from './model-vm.js'
import type { Call } from './step.js'
import type { Known } from './world.js'

const maxDiskMiB = 5

/** A call of a VM's operation, ready to be made. */
export interface Prepared {
  readonly operation: OperationCode
  readonly action: VmAction
  readonly begin: (options: { readonly signal?: AbortSignal }) => Job<unknown>
}

/**
 * @param taken the name of another VM, for a call that has to fail because of it
 * @param by the connection that makes the call
 */
export function prepare(
  { what, snapshot }: Call,
  { vm, model, snapshotIds }: Known,
  host: ModelHost,
  newName: string,
  taken: string | undefined,
  by: Owner,
): Prepared {
  const chosen = [...snapshotIds.keys()][snapshot % Math.max(1, snapshotIds.size)]
  const id = snapshotIds.get(chosen ?? '') ?? 'none'
  const isTaken = taken !== undefined
  const name = taken ?? newName
  switch (what) {
    case 'vm.start':
      return moving(what, (options) => vm.start(options))
    case 'vm.stop':
      return moving(what, (options) => vm.stop({ ...options, timeoutMs: host.shutdownTimeoutMs }))
    case 'kill':
      return { ...moving('vm.stop', (options) => vm.stop({ ...options, mode: 'kill' }), true) }
    case 'vm.pause':
      return moving(what, (options) => vm.pause(options))
    case 'vm.resume':
      return moving(what, (options) => vm.resume(options))
    case 'vm.suspend':
      return moving(what, (options) => vm.suspend(options))
    case 'vm.reset':
      return moving(what, (options) => vm.reset(options))
    case 'vm.restart':
      return moving(what, (options) => vm.restart({ ...options, timeoutMs: host.shutdownTimeoutMs }))
    case 'look':
      return { operation: 'vm.getState', action: { kind: 'look' }, begin: (options) => vm.getState(options) }
    case 'refresh':
      return { operation: 'vm.refresh', action: { kind: 'look' }, begin: (options) => vm.refresh(options) }
    case 'describe':
      return {
        operation: 'vm.edit',
        action: { kind: 'describe', description: newName },
        begin: (options) => vm.edit({ description: newName }, options),
      }
    case 'label': {
      const label = snapshot % 3 === 0 ? undefined : newName
      return {
        operation: 'vm.edit',
        action: { kind: 'label', label },
        begin: (options) => vm.edit({ labels: label === undefined ? {} : { label } }, options),
      }
    }
    case 'own': {
      const owner = snapshot % 2 === 0 ? undefined : by
      return {
        operation: 'vm.edit',
        action: { kind: 'own', owner },
        begin: (options) => vm.edit({ ephemeral: owner !== undefined }, options),
      }
    }
    case 'resize': {
      const memoryMiB = model.memoryMiB === 16 ? 24 : 16
      return {
        operation: 'vm.edit',
        action: { kind: 'resize', memoryMiB, states: host.resizableIn, growsIn: host.growsIn },
        begin: (options) => vm.edit({ memoryMiB }, options),
      }
    }
    case 'grow': {
      const { id, sizeMiB } = model.disks[snapshot % model.disks.length]!
      const disk = { id, sizeMiB: Math.min(maxDiskMiB, sizeMiB + 1) }
      const disks = model.disks.map((other) => (other.id === id ? disk : { id: other.id }))
      return {
        operation: 'vm.edit',
        action: { kind: 'grow', disk, states: host.resizableIn },
        begin: (options) => vm.edit({ disks }, options),
      }
    }
    case 'rename':
      return {
        operation: 'vm.edit',
        action: { kind: 'rename', name, isTaken },
        begin: (options) => vm.edit({ name }, options),
      }
    case 'create':
    case 'clone': {
      const owner = snapshot % 3 === 0 ? by : undefined
      if (what === 'clone' && snapshot % 3 === 1) {
        // A call fails for one reason at most: hosts may check them in any order.
        const of = snapshot > 3 && !isTaken ? chosen : undefined
        return {
          operation: 'vm.clone',
          action: { kind: 'twin', name, isTaken, of },
          begin: (options) => vm.clone({ ...options, name, memory: true, ...(of !== undefined && { snapshot: id }) }),
        }
      }
      return {
        operation: 'vm.clone',
        action: { kind: 'clone', name, isTaken, owner },
        begin: (options) => vm.clone({ ...options, name, ephemeral: owner !== undefined }),
      }
    }
    case 'delete':
      return { operation: 'vm.delete', action: { kind: 'delete' }, begin: (options) => vm.delete(options) }
    case 'snapshot':
      return {
        operation: 'vm.createSnapshot',
        action: { kind: 'snapshot', name: newName },
        begin: (options) => vm.createSnapshot({ ...options, name: newName }),
      }
    case 'switch':
      return {
        operation: 'vm.switchToSnapshot',
        action: { kind: 'switch', name: chosen },
        begin: (options) => vm.switchToSnapshot(id, options),
      }
    case 'drop':
      return {
        operation: 'vm.deleteSnapshot',
        action: { kind: 'drop', name: chosen },
        begin: (options) => vm.deleteSnapshot(id, options),
      }
  }
}

const moving = (
  operation: Extract<VmAction, { kind: 'move' }>['operation'],
  begin: Prepared['begin'],
  isKill = false,
): Prepared => ({ operation, action: { kind: 'move', operation, isKill }, begin })
