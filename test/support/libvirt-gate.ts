import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { frameBytes, FrameParser, type Frame } from '../../src/drivers/libvirt/rpc/frame.js'
import { procedureNamed, remoteProgram, type ProcedureName } from '../../src/drivers/libvirt/rpc/procedures.js'
import { refusalOf } from './fake-libvirt.js'

interface Rule {
  readonly procedure: number
  /** How many frames of the procedure pass before. */
  after: number
  readonly reach: () => void
  readonly isRefusal: boolean
}

/** A socket in front of a libvirt daemon, at which calls are stopped or refused. */
export class LibvirtGate implements AsyncDisposable {
  readonly path: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #rule: Rule | undefined
  #isHeld = false

  private constructor(path: string, target: string) {
    this.path = path
    this.#server = createServer((near) => {
      const far = connect(target)
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => undefined)
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
      const parser = new FrameParser()
      near.on('data', (piece: Buffer) => {
        parser.push(piece, (frame) => {
          this.#pass(frame, near, far)
        })
      })
      far.pipe(near)
    })
  }

  /** @param target the socket of the daemon */
  static async open(target: string): Promise<LibvirtGate> {
    const gate = new LibvirtGate(`${target}.gate`, target)
    gate.#server.listen(gate.path)
    await once(gate.#server, 'listening')
    return gate
  }

  /** Stops everything from a frame of the procedure on: its call, and what is sent by its stream. Resolves when the frame has come. */
  holdAt(name: ProcedureName, { after = 0 } = {}): Promise<void> {
    return new Promise((resolve) => {
      this.#rule = { procedure: procedureNamed[name].number, after, reach: resolve, isRefusal: false }
    })
  }

  /** Refuses each call of the procedure, but for the first ones. */
  refuse(name: ProcedureName, { after = 0 } = {}): void {
    this.#rule = { procedure: procedureNamed[name].number, after, reach: () => undefined, isRefusal: true }
  }

  /** Refuses nothing any more. */
  allow(): void {
    this.#rule = undefined
  }

  #pass(frame: Frame, near: Socket, far: Socket): void {
    const rule = this.#rule
    if (rule !== undefined && frame.program === remoteProgram && frame.procedure === rule.procedure) {
      if (rule.after === 0) {
        rule.reach()
        if (rule.isRefusal) {
          near.write(refusalOf(frame, 38, 'refused by the test'))
          return
        }
        this.#isHeld = true
      } else rule.after -= 1
    }
    if (!this.#isHeld) far.write(frameBytes(frame, frame.payload))
  }

  /** Cuts all connections, and takes no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
    await rm(this.path, { force: true })
  }
}
