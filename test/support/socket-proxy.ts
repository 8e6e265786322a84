import { once } from 'node:events'
import { rename } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Server, type Socket } from 'node:net'

/** Passes connections on to a socket of this machine, until they are cut or stalled. */
export class SocketProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** How many bytes have come, from both sides. */
  passed = 0

  private constructor(target: NetConnectOpts) {
    // An end of one side is passed on after all of its bytes.
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ ...target, allowHalfOpen: true })
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket)
        socket.pipe(other)
        socket.on('data', ({ byteLength }) => (this.passed += byteLength))
        socket.on('error', () => undefined)
        socket.on('close', () => {
          this.#sockets.delete(socket)
          if (!socket.readableEnded) other.destroy()
        })
      }
    })
  }

  /** A port that leads to another one. */
  static async to(port: number): Promise<SocketProxy> {
    const proxy = new SocketProxy({ port, host: '127.0.0.1' })
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** Takes the place of a socket in the file system. */
  static async inPlaceOf(path: string): Promise<SocketProxy> {
    const moved = `${path}.moved`
    await rename(path, moved)
    const proxy = new SocketProxy({ path: moved })
    proxy.#server.listen(path)
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Passes nothing on any more by the connections that there are, which stay open. */
  stall(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    await closed
  }
}
