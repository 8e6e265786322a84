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

/** A connection for long calls, which may still be opening. */
interface LongConnection {
  readonly opening: Promise<RpcConnection>
  /** Once it is open. */
  rpc: RpcConnection | undefined
  /** How many have chosen it: they count from then on, and not from when it is open. */
  calls: number
}

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
  readonly #long = new Set<LongConnection>()
  /** All others than the first, until they have ended. */
  readonly #others = new Set<Promise<RpcConnection>>()
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
    if (this.#isPrivate) return await this.#control.call(name, args)
    const connection = this.#freeConnection()
    connection.calls += 1
    try {
      const rpc = await connection.opening
      return await rpc.call(name, args)
    } finally {
      connection.calls -= 1
    }
  }

  /** Opens a stream, on a connection that ends with it. */
  async openStream<P extends ProcedureName>(
    name: P,
    args: ArgumentsOf<P>,
  ): Promise<{ readonly answer: ResultOf<P>; readonly stream: RemoteStream }> {
    if (this.#isPrivate) return await this.#control.open(name, args)
    const rpc = await this.#connect()
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
    this.#long.clear()
    const others = [...this.#others].map(async (opening) => this.#leave(await opening))
    await Promise.allSettled([this.#leave(this.#control), ...others])
  }

  /** Whether another connection would see other VMs. */
  get #isPrivate(): boolean {
    return this.#address.hypervisor === 'test' && this.#address.name !== 'test:///default'
  }

  /** One with a free place: chosen at once, so that those who come together share those that are opening. */
  #freeConnection(): LongConnection {
    for (const connection of this.#long) {
      if (connection.rpc?.isOpen === false) this.#long.delete(connection)
      else if (connection.calls < longCallsAtOnce) return connection
    }
    const connection: LongConnection = { opening: this.#connect(), rpc: undefined, calls: 0 }
    this.#long.add(connection)
    connection.opening.then(
      (rpc) => (connection.rpc = rpc),
      () => this.#long.delete(connection),
    )
    return connection
  }

  #connect(): Promise<RpcConnection> {
    const opening = openConnection(this.#dialer, this.#address, this.#closing.signal)
    this.#others.add(opening)
    const forget = (): void => void this.#others.delete(opening)
    opening.then((rpc) => rpc.lost).then(forget, forget)
    return opening
  }

  /** Says goodbye, so that libvirt does not log a client that broke off. */
  async #leave(rpc: RpcConnection): Promise<void> {
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
