/** How long does a call take through facade, limiter and job to a driver that answers at once? */
import { ok, type Result } from 'awaitvm'
import type { Driver, VmRecord } from 'awaitvm/driver'
import { serve } from 'awaitvm/testing'
import { alternate, nanoseconds } from './support/alternate.js'
import { defer } from './support/deferred.js'
import { compare, ratioAtMost, report } from './support/figure.js'

const record: VmRecord = {
  id: '1',
  state: 'running',
  config: {
    name: 'web-1',
    description: '',
    cpus: 1,
    memoryMiB: 16,
    disks: [],
    cdroms: [],
    floppies: [],
    boot: {},
    createdAt: new Date(),
  },
}

const driver: Driver = {
  name: 'instant',
  operations: {
    'server.getVm': async () => record,
    'vm.getState': async () => record.state,
  },
  features: new Set(),
  maxConcurrentOperations: 4,
  subscribe: () => () => undefined,
  close: async () => undefined,
}

await using server = serve(driver, 'instant:')
const vm = await server.getVm(record.id).unwrap()

async function calls(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) await vm.getState()
}

async function promises(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    const { promise, resolve } = defer<Result<string, never>>()
    resolve(ok(record.state))
    await promise
  }
}

const samples = await alternate(
  { 'vm.getState()': nanoseconds(calls, 100, 100), 'native promise': nanoseconds(promises, 100, 500) },
  { rounds: 41, warmUps: 5 },
)
report([compare(samples, 'vm.getState()', 'native promise', 'ns', ratioAtMost(50))])
