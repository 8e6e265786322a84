import type { Duplex } from 'node:stream'
import type { Frame } from '../../src/drivers/libvirt/rpc/frame.js'
import { procedureNamed, type ProcedureName, type ResultOf } from '../../src/drivers/libvirt/rpc/procedures.js'
import type { Dialer } from '../../src/drivers/libvirt/rpc/transports/dialer.js'
import { FakeLibvirt } from './fake-libvirt.js'

/** A call that the daemon has not answered by itself. */
interface OpenCall {
  readonly peer: FakeLibvirt
  readonly frame: Frame
}

const capabilities = `<capabilities>
  <host><cpu><arch>x86_64</arch></cpu></host>
  <guest><arch name='x86_64'><domain type='qemu'/></arch></guest>
</capabilities>`

const answer = <P extends ProcedureName>(name: P, result: ResultOf<P>): [number, (call: OpenCall) => void] => [
  procedureNamed[name].number,
  ({ peer, frame }) => {
    peer.answer(frame, name, result)
  },
]

/** What it says by itself. */
const answers = new Map([
  answer('auth_list', { types: [0] }),
  answer('connect_supports_feature', { supported: false }),
  answer('connect_open', {}),
  answer('connect_close', {}),
  answer('connect_domain_event_callback_register_any', { callbackID: 0 }),
  answer('connect_get_capabilities', { capabilities }),
  answer('connect_get_all_domain_stats', { retStats: [] }),
  answer('connect_list_all_domains', { domains: [], ret: 0 }),
])

/** A daemon without VMs: it lets clients connect, and the test answers everything else. */
export class FakeLibvirtDaemon implements Dialer {
  /** The daemon's ends of the connections, in their order. */
  readonly peers: FakeLibvirt[] = []
  /** Procedures that it leaves to the test, too. */
  readonly held = new Set<ProcedureName>()
  readonly #open: OpenCall[] = []
  #waiting: ((call: OpenCall) => void) | undefined

  dial(): Promise<Duplex> {
    const peer = new FakeLibvirt()
    this.peers.push(peer)
    void this.#serve(peer)
    return Promise.resolve(peer.socket)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** The next call that is left to the test. */
  async call(): Promise<OpenCall> {
    return this.#open.shift() ?? (await new Promise((resolve) => (this.#waiting = resolve)))
  }

  async #serve(peer: FakeLibvirt): Promise<never> {
    for (;;) {
      const call = { peer, frame: await peer.next() }
      const { procedure } = call.frame
      const isHeld = [...this.held].some((name) => procedureNamed[name].number === procedure)
      const reply = isHeld ? undefined : answers.get(procedure)
      if (reply !== undefined) reply(call)
      else if (this.#waiting === undefined) this.#open.push(call)
      else this.#waiting(call)
      if (reply === undefined) this.#waiting = undefined
    }
  }
}
