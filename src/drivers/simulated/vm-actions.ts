import { requireDisk } from '../../driver/disk-list.js'
import { requireNewSnapshot, requireSnapshot } from '../../driver/snapshot-list.js'
import { requireKept } from '../../errors/ephemeral.js'
import { requireSameDrives, requireState, statesToClone } from '../../errors/state.js'
import { operations, type DriverOperation } from '../../operations.js'
import type { Actions } from './action.js'
import { cloneOf, filesOfClone } from './clones.js'
import { moveTo, requireTarget } from './migration.js'
import { checkConfig, checkFiles, edited, requireHardwareMayChange } from './provisioning.js'
import { shutDown } from './shutdown.js'
import { deleteSnapshot, shownTree, switchToSnapshot, takeSnapshot } from './snapshots.js'

type Observing = 'vm.getStatistics' | 'vm.screenshot' | 'vm.sendKeys' | 'vm.console'

/** The operations that change VMs or describe them. */
export const vmActions: Actions<Exclude<Extract<DriverOperation, `vm.${string}`>, Observing>> = {
  'vm.getState': (host, run, { vm: id }) => run.look(() => host.store.get(id).state, host.store.get(id)),

  'vm.start': (host, run, { vm: id }) =>
    run.change(id, (vm) => ({
      files: checkFiles(vm.content, 'start'),
      commit: (_before, images) => {
        if (images !== undefined) vm.content = { ...vm.content, images }
        return host.lifecycle.powerOn(vm)
      },
    })),

  'vm.stop': (host, run, { vm: id, mode }) =>
    mode === 'shutdown'
      ? shutDown(host, run, id, 'vm.stop')
      : run.change(
          id,
          (vm) => ({ commit: () => host.lifecycle.kill(vm) }),
          ({ isShuttingDown, state }) => {
            requireState('vm.stop', isShuttingDown ? 'running' : state, operations['vm.stop'].fromKill)
          },
        ),

  'vm.pause': (host, run, { vm: id }) => run.change(id, (vm) => ({ commit: () => host.lifecycle.pause(vm) })),

  'vm.resume': (host, run, { vm: id }) =>
    run.change(id, (vm) => ({
      files: vm.state === 'suspended' ? checkFiles(vm.content, 'resume') : undefined,
      commit: () => host.lifecycle.resume(vm),
    })),

  'vm.suspend': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      vm.requireRoom()
      return { files: checkFiles(vm.content, 'suspend'), commit: () => host.lifecycle.suspend(vm) }
    }),

  'vm.reset': (host, run, { vm: id }) => run.change(id, (vm) => ({ commit: () => host.lifecycle.reset(vm) })),

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
      requireHardwareMayChange(vm.state, changes, !host.without.has('vm.edit.live'))
      const { config } = edited(vm.content, changes, host)
      if (vm.state !== 'stopped' && vm.state !== 'crashed') requireSameDrives(vm.config, config, vm.state)
      host.store.requireFree(config.name, vm)
      return {
        files: checkConfig(config, vm.content, 'changes', host.files),
        commit: (_before, images) => {
          host.store.requireFree(config.name, vm)
          const { name } = vm
          // Its guest may have written to its disks since the check.
          vm.content = { ...edited(vm.content, changes, host), images }
          if (vm.machine !== undefined) host.lifecycle.findHostPorts(vm)
          host.store.renamed(vm, name)
          host.lifecycle.tell('config', vm)
          if (changes.ephemeral !== undefined) host.setOwner(vm, run.by)
          return vm.record
        },
      }
    }),

  'vm.clone': (host, run, { vm: id, name, ...how }) =>
    run.change(
      id,
      (vm) => {
        host.store.requireFree(name)
        return {
          files: checkFiles(...filesOfClone(vm, how)),
          commit: () => {
            host.store.requireFree(name)
            const clone = cloneOf(host, vm, name, how)
            host.setOwner(clone, run.by)
            return clone.record
          },
        }
      },
      (vm) => {
        vm.requireState('vm.clone', statesToClone(how))
      },
    ),

  // On paper: no file is written.
  'vm.exportDisk': (_host, run, { vm: id, disk }) =>
    run.change(id, ({ config, content }) => {
      requireDisk(config.disks, disk)
      return { files: checkFiles(content, 'disks'), commit: () => undefined }
    }),

  'vm.delete': (host, run, { vm: id }) =>
    run.change(id, (vm) => ({
      commit: () => {
        // A restart or another client may have started it since the check.
        vm.requireState('vm.delete')
        host.lifecycle.delete(vm)
      },
    })),

  'vm.unregister': (host, run, { vm: id }) =>
    run.change(id, (vm) => {
      requireKept('vm.unregister', vm.config.ephemeral === true)
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
      requireKept('vm.migrate', vm.config.ephemeral === true)
      const target = requireTarget(host, vm, to)
      return {
        commit: (before) => {
          moveTo(target, host, vm, before)
        },
      }
    }),

  'vm.createSnapshot': (host, run, { vm: id, ...details }) =>
    run.change(id, (vm) => {
      vm.requireRoom()
      requireNewSnapshot(vm.snapshots, details.name)
      return {
        files: vm.machine === undefined ? undefined : checkFiles(vm.content, 'suspend'),
        commit: (before) => takeSnapshot(host, vm, details, before),
      }
    }),

  'vm.getSnapshotTree': (host, run, { vm: id }) => run.look(() => shownTree(host.store.get(id)), host.store.get(id)),

  'vm.switchToSnapshot': (host, run, { vm: id, snapshot }) =>
    run.change(id, (vm) => {
      const { content, memory } = requireSnapshot(vm.snapshots, snapshot)
      return {
        files: checkFiles(content, memory === undefined ? 'disks' : 'snapshot'),
        commit: () => switchToSnapshot(host, vm, snapshot),
      }
    }),

  'vm.deleteSnapshot': (host, run, { vm: id, snapshot }) =>
    run.change(id, (vm) => {
      requireSnapshot(vm.snapshots, snapshot)
      return {
        commit: () => {
          deleteSnapshot(host, vm, snapshot)
        },
      }
    }),
}
