/** The most bytes of data in a message. The guest program has room for no more. */
export const maxData = 4096
const headBytes = 5
const sumBytes = 4
const maxFrameBytes = headBytes + maxData + sumBytes
const maxEncodedBytes = maxFrameBytes + Math.ceil(maxFrameBytes / 254) + 1

/** A message on the line: its type, what it is about, and its data. */
export interface Frame {
  readonly type: number
  readonly id: number
  readonly data: Uint8Array
}

/** How much of the line's window a message takes. */
export const frameBytes = (data: Uint8Array): number => headBytes + data.length + sumBytes

/** The bytes of a message: COBS with a checksum, ended by a zero byte, which nothing else contains. */
export const encodeFrame = ({ type, id, data }: Frame): Uint8Array => {
  const frame = new Uint8Array(frameBytes(data))
  const view = new DataView(frame.buffer)
  frame[0] = type
  view.setUint32(1, id, true)
  frame.set(data, headBytes)
  view.setUint32(headBytes + data.length, checksum(frame.subarray(0, headBytes + data.length)), true)
  return stuff(frame)
}

/** Takes bytes as they come, and gives the messages in them. `undefined` stands for what is no message. */
export class FrameReader {
  readonly #pending = new Uint8Array(maxEncodedBytes)
  #count = 0
  #isTooLong = false

  push(bytes: Uint8Array): readonly (Frame | undefined)[] {
    const frames: (Frame | undefined)[] = []
    let start = 0
    while (start < bytes.length) {
      const end = bytes.indexOf(0, start)
      this.#add(bytes.subarray(start, end < 0 ? bytes.length : end))
      if (end < 0) return frames
      if (this.#count > 0 || this.#isTooLong) frames.push(this.#take())
      start = end + 1
    }
    return frames
  }

  #add(bytes: Uint8Array): void {
    if (this.#count + bytes.length > maxEncodedBytes) {
      this.#isTooLong = true
      return
    }
    this.#pending.set(bytes, this.#count)
    this.#count += bytes.length
  }

  #take(): Frame | undefined {
    const found = this.#isTooLong ? undefined : decodeFrame(this.#pending.subarray(0, this.#count))
    this.#count = 0
    this.#isTooLong = false
    return found
  }
}

const decodeFrame = (encoded: Uint8Array): Frame | undefined => {
  const frame = unstuff(encoded)
  if (frame === undefined || frame.length < headBytes + sumBytes || frame.length > maxFrameBytes) return undefined
  const view = new DataView(frame.buffer, 0, frame.length)
  const end = frame.length - sumBytes
  if (view.getUint32(end, true) !== checksum(frame.subarray(0, end))) return undefined
  return { type: view.getUint8(0), id: view.getUint32(1, true), data: frame.subarray(headBytes, end) }
}

const checksum = (bytes: Uint8Array): number => {
  let a = 1
  let b = 0
  for (const byte of bytes) {
    a += byte
    b += a
  }
  return (((b & 0xffff) << 16) | (a & 0xffff)) >>> 0
}

/** Replaces each zero by the distance to the next one (Consistent Overhead Byte Stuffing). */
const stuff = (frame: Uint8Array): Uint8Array => {
  const stuffed = new Uint8Array(frame.length + Math.ceil(frame.length / 254) + 2)
  let mark = 0
  let at = 1
  for (const byte of frame) {
    if (byte !== 0) {
      stuffed[at++] = byte
      if (at - mark < 0xff) continue
    }
    stuffed[mark] = at - mark
    mark = at++
  }
  stuffed[mark] = at - mark
  at++
  return stuffed.subarray(0, at)
}

const unstuff = (stuffed: Uint8Array): Uint8Array | undefined => {
  const bytes = new Uint8Array(stuffed.length)
  let to = 0
  let from = 0
  while (from < stuffed.length) {
    const code = stuffed[from] ?? 0
    const end = from + code
    if (end > stuffed.length) return undefined
    bytes.set(stuffed.subarray(from + 1, end), to)
    to += code - 1
    from = end
    if (code < 0xff && from < stuffed.length) to++
  }
  return bytes.subarray(0, to)
}
