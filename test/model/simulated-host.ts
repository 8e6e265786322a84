import { HostError, type OperationCode, type Server, type Vm, type VmState } from 'awaitvm'
import { createSimulatedServer, type Fault, type SimulatedServer } from 'awaitvm/testing'
import type { ModelHost } from './model-host.js'
import type { Trouble } from './step.js'

/** These may never end: they can be cancelled. */
const cancelable = new Set<OperationCode>([
  'vm.start',
  'vm.stop',
  'vm.resume',
  'vm.suspend',
  'vm.restart',
  'vm.clone',
  'vm.createSnapshot',
])

/** Queries take no time: the runner checks with them, and waits for them without moving the clock. */
const changes = [...cancelable, 'vm.pause', 'vm.reset', 'vm.edit', 'vm.delete', 'server.createVm'] as const
const latency = Object.fromEntries(changes.map((operation) => [operation, [0, 40]]))

const troubleIn = () => new HostError({ reason: 'trouble', native: { driver: 'simulated', message: 'trouble' } })

/** The simulated host. The test controls time, troubles and events in guests. */
export class SimulatedModelHost implements ModelHost, AsyncDisposable {
  readonly spec = { memoryMiB: 16, disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] }
  readonly afterCrash = 'crashed'
  readonly resizableIn = ['stopped', 'running', 'paused', 'crashed'] as const
  readonly growsIn = this.resizableIn
  readonly #simulated: SimulatedServer
  #server: Server

  /** @param seed for half of the seeds operations take time, for the others none */
  constructor(seed: number) {
    this.#simulated = createSimulatedServer({ seed, latency: seed % 2 === 0 ? 0 : latency, maxCalls: 0 })
    this.#server = this.#simulated.server
  }

  get server(): Server {
    return this.#server
  }

  turn(): Promise<boolean> {
    return this.#simulated.clock.next()
  }

  async settle(): Promise<void> {
    while (await this.#simulated.clock.next());
  }

  async happen(vm: Vm, what: 'crash' | 'powerOff'): Promise<void> {
    this.#simulated.vm(vm.id)[what]()
    await this.settle()
  }

  async reconnect(): Promise<(state: VmState) => VmState> {
    await this.#server.close().unwrap()
    this.#server = this.#simulated.connect()
    return (state) => state
  }

  trouble(
    what: Trouble['what'],
    { operation, vm }: { operation: OperationCode; vm: string },
  ): (() => void) | undefined {
    // The facade does this one: it asks the host for `server.getVm`.
    if (operation === 'vm.refresh') return undefined
    return this.#simulated.faults.add({ operation, vm, times: 1, ...faultOf(what, operation) } as Fault)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#simulated[Symbol.asyncDispose]()
  }
}

function faultOf(what: Trouble['what'], operation: OperationCode): Fault {
  switch (what) {
    case 'error':
      return { kind: 'error', error: troubleIn }
    case 'hang':
      return cancelable.has(operation) ? { kind: 'hang' } : { kind: 'slow', latency: 100 }
    case 'slow':
      return { kind: 'slow', latency: [10, 100], steps: 7 }
    case 'refuseCancel':
      return { kind: 'refuseCancel' }
    case 'lostDone':
      return { kind: 'lostConnection', done: true }
    case 'lostUndone':
      return { kind: 'lostConnection', done: false }
    case 'lostAndBack':
      return { kind: 'lostConnection', done: true, tells: true, forMs: 20 }
    case 'lostBefore':
      return { kind: 'lostConnection', moment: 'before' }
    case 'interference':
      return { kind: 'interference', change: 'pause' }
    case 'crash':
      return { kind: 'crash' }
  }
}
