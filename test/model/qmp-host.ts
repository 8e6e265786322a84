import { setImmediate as turn } from 'node:timers/promises'
import { connect, type Server, type Vm, type VmState } from 'awaitvm'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import type { ModelHost } from './model-host.js'
import { patience } from '../../src/testing/conformance/deadline.js'

/** Real QEMU in a directory of its own. VMs run on when the connection is closed, and are killed at the end. */
export class QmpModelHost implements ModelHost, AsyncDisposable {
  readonly spec: ModelHost['spec']
  /** A guest that crashes makes the machine restart. */
  readonly afterCrash = 'running'
  readonly resizableIn = ['stopped', 'crashed', 'running', 'paused'] as const
  readonly growsIn = ['stopped', 'crashed'] as const
  readonly shutdownTimeoutMs = 10_000
  readonly #uri: string
  #server: Server
  readonly second: Server | undefined

  private constructor(uri: string, server: Server, second: Server | undefined, kernel: string) {
    this.#uri = uri
    this.#server = server
    this.second = second
    this.spec = { memoryMiB: 16, disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }], boot: { kernel } }
  }

  static async open(uri: string, kernel: string, hasSecond: boolean): Promise<QmpModelHost> {
    const server = await connect(uri).unwrap()
    return new QmpModelHost(uri, server, hasSecond ? await connect(uri).unwrap() : undefined, kernel)
  }

  get server(): Server {
    return this.#server
  }

  async turn(): Promise<boolean> {
    await turn()
    return true
  }

  async reconnect(): Promise<(state: VmState) => VmState> {
    await this.#server.close().unwrap()
    this.#server = await connect(this.#uri).unwrap()
    return (state) => state
  }

  async happen(vm: Vm, what: 'crash' | 'powerOff'): Promise<void> {
    // A reset at the very start, while the firmware copies itself, leaves a guest that never boots: it is restarted.
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.start().unwrap()
    const guest = new SerialGuest(vm)
    await guest.untilReady()
    await guest[what]()
    if (what === 'crash') await guest.untilReady()
    else await vm.waitForState('stopped', patience).unwrap()
    guest.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const vm of await this.#server.getVmList().unwrap()) {
      // A damaged VM does not run.
      if (vm.state !== 'stopped' && vm.problem === undefined) await vm.stop({ mode: 'kill' }).unwrap()
    }
    await this.#server.close().unwrap()
    await this.second?.close().unwrap()
  }
}
