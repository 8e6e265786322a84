import { duplexPair, type Duplex } from 'node:stream'
import { frameBytes, FrameParser, type Frame, type FrameHeader } from '../../src/drivers/libvirt/rpc/frame.js'
import {
  procedureNamed,
  remoteProgram,
  type ProcedureName,
  type ResultOf,
} from '../../src/drivers/libvirt/rpc/procedures.js'
import { int, optional, string, struct, XdrWriter, type Codec } from '../../src/drivers/libvirt/rpc/xdr.js'

const errorFields = struct({
  code: int,
  domain: int,
  message: optional(string),
  level: int,
  dom: optional(int),
  str1: optional(string),
  str2: optional(string),
  str3: optional(string),
  int1: int,
  int2: int,
  net: optional(int),
})

/** The bytes of a value. */
function xdrOf<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter()
  codec.write(writer, value)
  return Buffer.from(writer.bytes)
}

/** The frame with an error that answers a call. */
export function refusalOf({ serial, procedure }: Frame, code: number, message: string, type = 1): Buffer {
  const nothing = { str1: undefined, str2: undefined, str3: undefined, dom: undefined, net: undefined }
  const error = { code, domain: 20, message, level: 2, int1: -1, int2: -1, ...nothing }
  const header = { program: remoteProgram, procedure, type, serial, status: 1 }
  return frameBytes(header, xdrOf(errorFields, error))
}

/** The other end of a connection, which says what a test wants. */
export class FakeLibvirt {
  /** The client's end. */
  readonly socket: Duplex
  readonly #own: Duplex
  readonly #parser = new FrameParser()
  readonly #frames: Frame[] = []
  #waiting: ((frame: Frame) => void) | undefined

  constructor() {
    ;[this.socket, this.#own] = duplexPair()
    this.#own.on('error', () => undefined)
    this.#own.on('data', (piece: Buffer) => {
      this.#parser.push(piece, (frame) => {
        const copy = { ...frame, payload: Buffer.from(frame.payload) }
        if (this.#waiting === undefined) this.#frames.push(copy)
        else this.#waiting(copy)
        this.#waiting = undefined
      })
    })
  }

  /** The next frame of the client. */
  async next(): Promise<Frame> {
    return this.#frames.shift() ?? (await new Promise((resolve) => (this.#waiting = resolve)))
  }

  send(header: Partial<FrameHeader>, payload: Uint8Array = Buffer.alloc(0)): void {
    const whole = { program: remoteProgram, procedure: 0, type: 1, serial: 0, status: 0, ...header }
    this.#own.write(frameBytes(whole, payload))
  }

  sendBytes(bytes: Uint8Array): void {
    this.#own.write(bytes)
  }

  answer<P extends ProcedureName>({ serial, procedure }: Frame, name: P, result: ResultOf<P>): void {
    this.send({ serial, procedure }, xdrOf(procedureNamed[name].result, result))
  }

  /** @param type 1 for an answer, 3 for a stream */
  refuse(frame: Frame, code: number, message: string, type = 1): void {
    this.#own.write(refusalOf(frame, code, message, type))
  }

  /** Ends the connection. */
  hangUp(): void {
    this.#own.end()
  }
}
