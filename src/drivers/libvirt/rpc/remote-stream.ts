import { Duplex } from 'node:stream'
import { ProtocolError } from '../../../errors.js'
import { FrameStatus, FrameType, type Frame } from './frame.js'
import { remoteErrorOf } from './remote-error.js'

/** The connection that a stream is on. */
interface Carrier {
  readonly send: (status: number, bytes: Uint8Array, sent?: () => void) => void
  readonly pause: () => void
  readonly resume: () => void
  readonly forget: () => void
}

/** Bytes of a frame that carries data: large enough to be fast, and small enough to let others through. */
const pieceBytes = 256 * 1024

const noBytes = Buffer.alloc(0)

/**
 * The data of a screenshot, a console or a volume, in both directions. It has a connection of its own: one that is not read holds up
 * the whole connection, so that memory stays bounded.
 *
 * `end()` says that all is sent; the stream closes once libvirt has confirmed that, or has said what went wrong. `destroy()` aborts it.
 */
export class RemoteStream extends Duplex {
  readonly #carrier: Carrier
  #isOver = false
  #finished: ((error?: Error | null) => void) | undefined

  constructor(carrier: Carrier) {
    super({ allowHalfOpen: true })
    this.#carrier = carrier
    // An error is told to those who read or write; a stream that was given up has none.
    this.on('error', () => undefined)
  }

  /** A frame of this stream. */
  receive({ type, status, payload }: Frame): void {
    if (this.#isOver) return
    if (type === FrameType.streamHole) this.fail(new ProtocolError({ reason: 'libvirt sent a hole, not asked for' }))
    else if (status === FrameStatus.error) this.fail(remoteErrorOf(payload))
    else if (status === FrameStatus.ok) this.#confirm()
    else if (payload.length === 0) this.#endOfData()
    else if (!this.push(payload)) this.#carrier.pause()
  }

  /** Ends the stream with an error; libvirt knows. */
  fail(error: Error): void {
    this.#end()
    this.#finished?.(error)
    this.destroy(error)
  }

  override _read(): void {
    if (!this.#isOver) this.#carrier.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, sent: (error?: Error | null) => void): void {
    const piece = bytes.subarray(0, pieceBytes)
    const rest = bytes.subarray(pieceBytes)
    this.#carrier.send(FrameStatus.more, piece, () => {
      if (this.#isOver || rest.length === 0) sent()
      else this._write(rest, 'binary', sent)
    })
  }

  override _final(finished: (error?: Error | null) => void): void {
    this.#finished = finished
    if (this.#isOver) finished()
    else this.#carrier.send(FrameStatus.ok, noBytes)
  }

  override _destroy(error: Error | null, destroyed: (error?: Error | null) => void): void {
    if (!this.#isOver) this.#carrier.send(FrameStatus.error, noBytes)
    this.#end()
    this.#carrier.resume()
    destroyed(error)
  }

  /** libvirt has sent all. It waits for a word that it has arrived. */
  #endOfData(): void {
    this.push(null)
    this.end()
  }

  #confirm(): void {
    this.#end()
    this.push(null)
    if (this.#finished === undefined) this.destroy()
    else this.#finished()
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#carrier.forget()
  }
}
