import { ProtocolError } from '../../../errors.js'

/** Four bytes of length, and the header. */
const headerBytes = 28

/** The longest frame that libvirt sends or takes: 32 MiB of content and the length itself. */
const maxFrameBytes = 32 * 2 ** 20 + 4

/** What a frame is. */
export const FrameType = { call: 0, reply: 1, message: 2, stream: 3, streamHole: 6 } as const

/** How a call ended, and where a stream is. */
export const FrameStatus = { ok: 0, error: 1, more: 2 } as const

/** What stands before the content. */
export interface FrameHeader {
  readonly program: number
  readonly procedure: number
  /** One of {@link FrameType}, unless the peer is of another kind. */
  readonly type: number
  /** Of a reply and a stream, that of the call. */
  readonly serial: number
  readonly status: number
}

export interface Frame extends FrameHeader {
  readonly payload: Buffer
}

/** All programs of libvirt have this version. */
const version = 1

/** The bytes of a frame: its header, and its content. */
export function frameBytes(header: FrameHeader, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + payload.length)
  const words = [bytes.length, header.program, version, header.procedure, header.type, header.serial, header.status]
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word, 4 * index)
  bytes.set(payload, headerBytes)
  return bytes
}

/** Finds the frames in what arrives. It keeps no more than one frame that is not complete. */
export class FrameParser {
  #pieces: Buffer[] = []
  #bytes = 0
  /** How many bytes the next step needs: the length, or a whole frame. */
  #needed = 4

  /** @throws ProtocolError if it is no frame of libvirt: then nothing more can be read */
  push(piece: Buffer, onFrame: (frame: Frame) => void): void {
    this.#pieces.push(piece)
    this.#bytes += piece.length
    while (this.#bytes >= this.#needed) {
      const bytes = this.#joined()
      const length = bytes.readUInt32BE(0)
      if (length < headerBytes || length > maxFrameBytes) {
        throw new ProtocolError({
          reason: `a frame of ${String(length)} bytes arrived`,
          hint: 'Check that a libvirt daemon is at this address, and that TLS is used if it wants it.',
        })
      }
      if (bytes.length < length) {
        this.#needed = length
        return
      }
      this.#keep(bytes.subarray(length))
      onFrame(frameOf(bytes.subarray(0, length)))
    }
  }

  #joined(): Buffer {
    const [first] = this.#pieces
    const bytes = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces)
    this.#pieces = [bytes]
    return bytes
  }

  #keep(rest: Buffer): void {
    this.#pieces = [rest]
    this.#bytes = rest.length
    this.#needed = 4
  }
}

const frameOf = (bytes: Buffer): Frame => ({
  program: bytes.readUInt32BE(4),
  procedure: bytes.readInt32BE(12),
  type: bytes.readUInt32BE(16),
  serial: bytes.readUInt32BE(20),
  status: bytes.readUInt32BE(24),
  payload: bytes.subarray(headerBytes),
})
