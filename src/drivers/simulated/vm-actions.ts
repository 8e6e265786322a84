import type { DriverOperation, VmRecord } from '../../driver/driver.js'
import { requireState } from '../../errors/state.js'
import { cloneAdapters } from '../../network/kept-adapter.js'
import type { ImageRecord } from '../../files/image-record.js'
import type { Snapshot } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import type { Actions } from './action.js'
import { moveTo, requireTarget } from './migration.js'
import { checkConfig, checkFiles, edited, requireHardwareMayChange, withNewDiskIds } from './provisioning.js'
import type { Change } from './run.js'
import { shutDown } from './shutdown.js'
import {
  deleteSnapshot,
  findSnapshot,
  requireNewSnapshot,
  snapshotTree,
  switchToSnapshot,
  takeSnapshot,
} from './snapshots.js'

type Observing = 'vm.getStatistics' | 'vm.screenshot' | 'vm.sendKeys' | 'vm.console'

/** What changes VMs, or tells what they are. */
export const vmActions: Actions<Exclude<Extract<DriverOperation, `vm.${string}`>, Observing>> = {
  'vm.getState': (host, run, { vm: id }) => run.look(() => host.store.get(id).state, host.store.get(id)),

  'vm.start': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.start')
      const change = (images?: ImageRecord): Change<VmState> => ({
        through: operations['vm.start'].through,
        commit: () => {
          if (images !== undefined) vm.content = { ...vm.content, images }
          return host.lifecycle.powerOn(vm)
        },
      })
      return checkFiles(vm.content, 'start')?.then(change) ?? change()
    }),

  'vm.stop': (host, run, { vm: id, mode }) =>
    mode === 'shutdown'
      ? shutDown(host, run, id, 'vm.stop')
      : run.change(id, (vm) => {
          const { fromKill, through } = operations['vm.stop']
          requireState('vm.stop', vm.isShuttingDown ? 'running' : vm.state, fromKill)
          return { through, commit: () => host.lifecycle.kill(vm) }
        }),

  'vm.pause': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.pause')
      return { through: operations['vm.pause'].through, commit: () => host.lifecycle.pause(vm) }
    }),

  'vm.resume': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.resume')
      const change = { through: operations['vm.resume'].through, commit: () => host.lifecycle.resume(vm) }
      const checked = vm.state === 'suspended' ? checkFiles(vm.content, 'resume') : undefined
      return checked?.then(() => change) ?? change
    }),

  'vm.suspend': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.suspend')
      vm.requireRoom()
      const change = { through: operations['vm.suspend'].through, commit: () => host.lifecycle.suspend(vm) }
      return checkFiles(vm.content, 'suspend')?.then(() => change) ?? change
    }),

  'vm.reset': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.reset')
      return { through: operations['vm.reset'].through, commit: () => host.lifecycle.reset(vm) }
    }),

  'vm.restart': async (host, run, { vm: id }) => {
    const { state, content } = host.store.get(id)
    const checked = state === 'running' ? checkFiles(content, 'start') : undefined
    if (checked !== undefined) await checked
    await shutDown(host, run, id, 'vm.restart')
    const vm = host.store.get(id)
    vm.requireState('vm.restart', ['stopped'])
    return run.act(() => {
      host.lifecycle.setState(vm, operations['vm.start'].through)
      return host.lifecycle.powerOn(vm)
    })
  },

  'vm.edit': (host, run, { vm: id, changes }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.edit')
      requireHardwareMayChange(vm.state, changes, !host.without.has('vm.edit.live'))
      const { config } = edited(vm.content, changes, host)
      host.store.requireFree(config.name, vm)
      const change = (images?: ImageRecord): Change<VmRecord> => ({
        commit: () => {
          host.store.requireFree(config.name, vm)
          const { name } = vm
          // Its disks may have been written to meanwhile.
          vm.content = { ...edited(vm.content, changes, host), images }
          if (vm.machine !== undefined) host.lifecycle.findHostPorts(vm)
          host.store.renamed(vm, name)
          host.lifecycle.tell('config', vm)
          return vm.record
        },
      })
      return checkConfig(config, vm.content, 'changes', host.files)?.then(change) ?? change()
    }),

  'vm.clone': (host, run, { vm: id, name }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.clone')
      vm.requireRoom()
      host.store.requireFree(name)
      const commit = (): typeof vm.record => {
        host.store.requireFree(name)
        const { config, adapters, ...content } = withNewDiskIds(vm.content, host.newDiskId)
        const networkAdapters = cloneAdapters(adapters, host.newMacAddress)
        const createdAt = new Date(host.clock.now)
        const clone = host.newVm({ ...content, config: { ...config, name, networkAdapters, createdAt } })
        host.store.add(clone)
        host.lifecycle.tell('created', clone)
        return clone.record
      }
      const change = { through: operations['vm.clone'].through, commit }
      return checkFiles(vm.content, 'disks')?.then(() => change) ?? change
    }),

  'vm.delete': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.delete')
      return {
        commit: () => {
          // Somebody may have brought it up meanwhile: a restart, or another client.
          vm.requireState('vm.delete')
          host.lifecycle.delete(vm)
        },
      }
    }),

  'vm.unregister': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.unregister')
      return {
        commit: () => {
          vm.requireState('vm.unregister')
          host.store.unregister(vm)
          host.lifecycle.tell('deleted', vm)
        },
      }
    }),

  'vm.migrate': (host, run, { vm: id, to }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.migrate')
      const target = requireTarget(host, vm, to)
      return {
        through: operations['vm.migrate'].through,
        commit: (before) => {
          moveTo(target, host, vm, before)
        },
      }
    }),

  'vm.createSnapshot': (host, run, { vm: id, ...details }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.createSnapshot')
      vm.requireRoom()
      requireNewSnapshot(vm, details.name)
      const change: Change<Snapshot> = {
        through: operations['vm.createSnapshot'].through,
        commit: (before) => takeSnapshot(host, vm, details, before),
      }
      const checked = vm.machine === undefined ? undefined : checkFiles(vm.content, 'suspend')
      return checked?.then(() => change) ?? change
    }),

  'vm.getSnapshotTree': (host, run, { vm: id }) => run.look(() => snapshotTree(host.store.get(id)), host.store.get(id)),

  'vm.switchToSnapshot': (host, run, { vm: id, snapshot }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.switchToSnapshot')
      const { content, memory } = findSnapshot(vm, snapshot)
      const change = {
        through: operations['vm.switchToSnapshot'].through,
        commit: () => switchToSnapshot(host, vm, snapshot),
      }
      return checkFiles(content, memory === undefined ? 'disks' : 'snapshot')?.then(() => change) ?? change
    }),

  'vm.deleteSnapshot': (host, run, { vm: id, snapshot }) =>
    run.change(id, (vm) => {
      vm.requireState('vm.deleteSnapshot')
      findSnapshot(vm, snapshot)
      return {
        commit: () => {
          deleteSnapshot(host, vm, snapshot)
        },
      }
    }),
}
