import { setImmediate as turn } from 'node:timers/promises'
import { connect, type Server, type Vm, type VmState } from 'awaitvm'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import type { ModelHost } from './model-host.js'
import { patience } from '../../src/testing/conformance/deadline.js'

/** The embedded host, in memory or in a directory. It has real time, and no troubles. */
export class EmbeddedModelHost implements ModelHost, AsyncDisposable {
  readonly spec = { memoryMiB: 16, disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] }
  readonly afterCrash = 'crashed'
  readonly resizableIn = ['stopped', 'crashed'] as const
  readonly growsIn = this.resizableIn
  readonly reconnect?: () => Promise<(state: VmState) => VmState>
  #server: Server

  private constructor(uri: string, server: Server) {
    this.#server = server
    if (uri !== 'embedded:') this.reconnect = () => this.#reconnect(uri)
  }

  static async open(uri: string): Promise<EmbeddedModelHost> {
    return new EmbeddedModelHost(uri, await connect(uri).unwrap())
  }

  get server(): Server {
    return this.#server
  }

  async turn(): Promise<boolean> {
    await turn()
    return true
  }

  async happen(vm: Vm, what: 'crash' | 'powerOff'): Promise<void> {
    const guest = new SerialGuest(vm)
    // A guest that came back from a snapshot does not print that it is ready, but answers.
    await Promise.any([guest.untilReady(), guest.count()])
    await guest[what]()
    await vm.waitForState(what === 'crash' ? 'crashed' : 'stopped', patience).unwrap()
    guest.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close().unwrap()
  }

  /** VMs in this process are killed with the connection. */
  async #reconnect(uri: string): Promise<(state: VmState) => VmState> {
    await this.#server.close().unwrap()
    this.#server = await connect(uri).unwrap()
    return (state) => (state === 'running' || state === 'paused' ? 'stopped' : state)
  }
}
