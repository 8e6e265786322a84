/** The result of a read: the bytes, and how many bytes before them were dropped. */
export interface ConsoleChunk {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly lostBytes: number
}

/** One reader's view of a {@link ConsoleBuffer}. */
export interface ConsoleReader {
  /** Absolute offset, in bytes since the buffer was made, of what `read` returns next. */
  readonly offset: number
  /** The bytes since the last `read`, at most `maxBytes`. */
  read(maxBytes?: number): ConsoleChunk
  /** Sets the one listener: called when bytes come, and when the buffer is closed. */
  onReadable(listener: (() => void) | undefined): void
  /** Detaches the reader; its listener is called no more. */
  close(): void
}

/** 1 MiB: some 10,000 lines. */
const defaultCapacity = 0x10_0000

/** The last bytes that a guest wrote to its serial port, for any number of readers, each with its own position. */
export class ConsoleBuffer {
  readonly #capacity: number
  readonly #readers = new Set<RingReader>()
  #ring = new Uint8Array(0)
  #end = 0
  #closed = false

  constructor(capacity: number = defaultCapacity) {
    this.#capacity = capacity
  }

  /** Absolute offset of the oldest byte that is kept. */
  get startOffset(): number {
    return Math.max(0, this.#end - this.#capacity)
  }

  /** Absolute offset of the byte that comes next. */
  get endOffset(): number {
    return this.#end
  }

  get closed(): boolean {
    return this.#closed
  }

  append(bytes: Uint8Array): void {
    if (this.#closed || bytes.byteLength === 0) return
    this.#grow(this.#end + bytes.byteLength)
    const end = this.#end + bytes.byteLength
    const kept = bytes.subarray(Math.max(0, bytes.byteLength - this.#capacity))
    const position = (end - kept.byteLength) % this.#ring.byteLength
    const first = kept.subarray(0, this.#ring.byteLength - position)
    this.#ring.set(first, position)
    this.#ring.set(kept.subarray(first.byteLength), 0)
    this.#end = end
    this.#notify()
  }

  /** Reads from the oldest byte kept, from what comes next, or from an absolute offset. */
  reader(from: 'start' | 'end' | number = 'start'): ConsoleReader {
    const offset = from === 'start' ? this.startOffset : from === 'end' ? this.#end : Math.min(from, this.#end)
    const reader = new RingReader(
      offset,
      (start, maxBytes) => this.#copy(start, maxBytes),
      () => this.#readers.delete(reader),
    )
    this.#readers.add(reader)
    return reader
  }

  /** No more bytes will come. What is there can still be read. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#notify()
    this.#readers.clear()
  }

  #notify(): void {
    for (const reader of this.#readers) reader.notify()
  }

  /** Grows as needed: a console with little output should not take a megabyte. */
  #grow(needed: number): void {
    if (this.#ring.byteLength >= Math.min(needed, this.#capacity)) return
    let size = Math.max(1024, this.#ring.byteLength)
    while (size < needed && size < this.#capacity) size *= 2
    const ring = new Uint8Array(Math.min(size, this.#capacity))
    ring.set(this.#ring)
    this.#ring = ring
  }

  #copy(offset: number, maxBytes: number): ConsoleChunk {
    const start = Math.max(offset, this.startOffset)
    const bytes = new Uint8Array(Math.min(this.#end - start, maxBytes))
    if (bytes.byteLength > 0) {
      const position = start % this.#ring.byteLength
      const first = this.#ring.subarray(position, position + bytes.byteLength)
      bytes.set(first)
      bytes.set(this.#ring.subarray(0, bytes.byteLength - first.byteLength), first.byteLength)
    }
    return { bytes, lostBytes: start - offset }
  }
}

class RingReader implements ConsoleReader {
  readonly #copy: (offset: number, maxBytes: number) => ConsoleChunk
  readonly #detach: () => void
  #offset: number
  #listener: (() => void) | undefined

  constructor(offset: number, copy: (offset: number, maxBytes: number) => ConsoleChunk, detach: () => void) {
    this.#offset = offset
    this.#copy = copy
    this.#detach = detach
  }

  get offset(): number {
    return this.#offset
  }

  read(maxBytes: number = Number.POSITIVE_INFINITY): ConsoleChunk {
    const chunk = this.#copy(this.#offset, maxBytes)
    this.#offset += chunk.lostBytes + chunk.bytes.byteLength
    return chunk
  }

  onReadable(listener: (() => void) | undefined): void {
    this.#listener = listener
  }

  notify(): void {
    this.#listener?.()
  }

  close(): void {
    this.#listener = undefined
    this.#detach()
  }
}
