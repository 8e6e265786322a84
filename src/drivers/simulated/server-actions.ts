import type { DriverOperation } from '../../operations.js'
import { InvalidArgumentError } from '../../errors.js'
import type { HostInfo } from '../../model/host-info.js'
import { hasLabels } from '../../model/vm-labels.js'
import type { VmFilter } from '../../model/vm-spec.js'
import type { Actions } from './action.js'
import type { SimulatedHost } from './host.js'
import { checkConfig, configOf } from './provisioning.js'
import type { SimulatedVm } from './simulated-vm.js'

/** 1 TiB. */
const memoryMiB = 2 ** 20

export const serverActions: Actions<Extract<DriverOperation, `server.${string}`>> = {
  'server.getInfo': (host, run) => run.look(() => infoOf(host)),

  'server.getVmList': (host, run, { filter }) =>
    run.look(() => Array.from(matching(host, filter), ({ record }) => record)),

  'server.getVm': (host, run, { nameOrId }) => run.look(() => host.store.require(nameOrId).record),

  'server.createVm': (host, run, { spec }) =>
    run.make(() => {
      host.store.requireFree(spec.name)
      const config = configOf(spec, host)
      return {
        files: checkConfig(config, undefined, 'spec', host.files),
        commit: (_before, images) => {
          const vm = host.newVm({ config: { ...config, createdAt: new Date(host.clock.now) }, images })
          host.store.add(vm)
          host.lifecycle.tell('created', vm)
          host.setOwner(vm, run.by)
          return vm.record
        },
      }
    }),

  'server.registerVm': (host, run, { path }) =>
    run.make(() => ({
      commit: () => {
        const vm = host.store.register(path)
        host.lifecycle.tell('created', vm)
        return vm.record
      },
    })),

  'server.getJobs': (host, run) => run.look(() => host.jobs.list((id) => host.store.find(id)?.name ?? id)),

  'server.attachJob': async (host, run, { token, io }) => {
    const job = host.jobs.find(token)
    if (job !== undefined) return await run.follow(job, io)
    await run.look(() => undefined)
    throw new InvalidArgumentError({
      path: 'token',
      reason: `the host knows no job of the token ${JSON.stringify(token)}`,
      hint: 'server.getJobs() tells which are under way.',
    })
  },
}

function* matching({ store }: SimulatedHost, { name, state, labels }: VmFilter): Generator<SimulatedVm, void> {
  const named = name === undefined ? undefined : store.findByName(name)
  const candidates = name === undefined ? store.list() : named === undefined ? [] : [named]
  for (const vm of candidates) {
    if ((state === undefined || vm.state === state) && hasLabels(vm.config.labels, labels)) yield vm
  }
}

function infoOf({ store }: SimulatedHost): HostInfo {
  let usedMiB = 0
  for (const { machine, config } of store.list()) if (machine !== undefined) usedMiB += config.memoryMiB
  return {
    driver: 'simulated',
    hostName: 'simulated',
    hypervisor: 'simulation',
    version: '1.0',
    cpus: 64,
    memoryMiB,
    // It never runs out of memory. A test of that uses a fault.
    freeMemoryMiB: Math.max(0, memoryMiB - usedMiB),
    guestArchitecture: 'x86_64',
  }
}
