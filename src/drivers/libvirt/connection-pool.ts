import { closedBeforeSending } from '../../errors/closed.js'
import type { LibvirtAddress } from './libvirt-uri.js'
import type { RpcConnection } from './rpc/connection.js'
import type { EventHandlers } from './rpc/event-messages.js'
import { openConnection } from './rpc/open-connection.js'
import type { ArgumentsOf, ProcedureName, ResultOf } from './rpc/procedures.js'
import type { RemoteStream } from './rpc/remote-stream.js'
import type { Dialer } from './rpc/transports/dialer.js'

/** Long calls on one connection: a daemon takes five, and the fifth place is for what stops them. */
const longCallsAtOnce = 4

/** Longest time for libvirt to say goodbye. */
const goodbyeMs = 2000

/**
 * The connections to one daemon: one for short calls and events, some for calls that take long, and one for each stream. A daemon that
 * works on five calls of a connection reads no more from it.
 *
 * On a `test:` driver with a file, each connection has VMs of its own: there everything goes over the first.
 */
export class ConnectionPool {
  readonly #dialer: Dialer
  readonly #address: LibvirtAddress
  readonly #control: RpcConnection
  readonly #long = new Set<RpcConnection>()
  readonly #busy = new Map<RpcConnection, number>()
  readonly #streams = new Set<RpcConnection>()
  readonly #closing = new AbortController()

  private constructor(dialer: Dialer, address: LibvirtAddress, control: RpcConnection) {
    this.#dialer = dialer
    this.#address = address
    this.#control = control
  }

  /** Makes the first connection. */
  static async open(
    dialer: Dialer,
    address: LibvirtAddress,
    events: EventHandlers,
    signal: AbortSignal,
  ): Promise<ConnectionPool> {
    return new ConnectionPool(dialer, address, await openConnection(dialer, address, signal, events))
  }

  /** The connection for events and for calls that are answered at once. */
  get control(): RpcConnection {
    return this.#control
  }

  /** Makes a call that may take minutes. */
  async callLong<P extends ProcedureName>(name: P, args: ArgumentsOf<P>): Promise<ResultOf<P>> {
    const rpc = await this.#freeConnection()
    this.#busy.set(rpc, (this.#busy.get(rpc) ?? 0) + 1)
    try {
      return await rpc.call(name, args)
    } finally {
      this.#busy.set(rpc, (this.#busy.get(rpc) ?? 1) - 1)
    }
  }

  /** Opens a stream, on a connection that ends with it. */
  async openStream<P extends ProcedureName>(
    name: P,
    args: ArgumentsOf<P>,
  ): Promise<{ readonly answer: ResultOf<P>; readonly stream: RemoteStream }> {
    if (this.#isPrivate) return await this.#control.open(name, args)
    const rpc = await this.#connect()
    this.#streams.add(rpc)
    try {
      const opened = await rpc.open(name, args)
      opened.stream.once('close', () => void this.#leave(rpc))
      return opened
    } catch (error) {
      await this.#leave(rpc)
      throw error
    }
  }

  /** Ends all connections. Calls that are under way fail. */
  async close(): Promise<void> {
    this.#closing.abort(closedBeforeSending())
    await Promise.all([this.#control, ...this.#long, ...this.#streams].map((rpc) => this.#leave(rpc)))
  }

  /** Whether another connection would see other VMs. */
  get #isPrivate(): boolean {
    return this.#address.hypervisor === 'test' && this.#address.name !== 'test:///default'
  }

  async #freeConnection(): Promise<RpcConnection> {
    if (this.#isPrivate) return this.#control
    for (const rpc of this.#long) {
      if (!rpc.isOpen) this.#forget(rpc)
      else if ((this.#busy.get(rpc) ?? 0) < longCallsAtOnce) return rpc
    }
    const rpc = await this.#connect()
    this.#long.add(rpc)
    return rpc
  }

  #connect(): Promise<RpcConnection> {
    return openConnection(this.#dialer, this.#address, this.#closing.signal)
  }

  #forget(rpc: RpcConnection): void {
    this.#long.delete(rpc)
    this.#busy.delete(rpc)
    this.#streams.delete(rpc)
  }

  /** Says goodbye, so that libvirt does not log a client that broke off. */
  async #leave(rpc: RpcConnection): Promise<void> {
    this.#forget(rpc)
    if (rpc.isOpen && rpc.callsUnderWay === 0) {
      const late = setTimeout(() => {
        rpc.destroy(closedBeforeSending())
      }, goodbyeMs)
      await Promise.allSettled([rpc.call('connect_close', {})])
      clearTimeout(late)
    }
    rpc.destroy(closedBeforeSending())
  }
}
