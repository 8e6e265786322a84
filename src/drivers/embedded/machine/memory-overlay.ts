import { DiskError } from './disk-error.js'

export const blockSize = 4096

/** The blocks of a disk that were written to. */
export interface Overlay {
  has(block: number): boolean
  /** Copies a block that the overlay has, from `offset` within it on. */
  read(block: number, offset: number, target: Uint8Array): void
  /** Takes a copy of a whole block. */
  write(block: number, content: Uint8Array): void
  close(): void
}

const magic = 'AWVMOVL1'
const headerSize = 16
const entrySize = 4 + blockSize

/** An overlay in memory; lost with the process unless it is exported. */
export class MemoryOverlay implements Overlay {
  readonly #blocks = new Map<number, Uint8Array>()

  has(block: number): boolean {
    return this.#blocks.has(block)
  }

  read(block: number, offset: number, target: Uint8Array): void {
    const content = this.#blocks.get(block)
    if (content !== undefined) target.set(content.subarray(offset, offset + target.byteLength))
  }

  write(block: number, content: Uint8Array): void {
    const present = this.#blocks.get(block)
    if (present === undefined) this.#blocks.set(block, Uint8Array.from(content))
    else present.set(content)
  }

  /** All blocks as one array: a header, then the number and the content of each block. */
  export(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(headerSize + this.#blocks.size * entrySize)
    const view = new DataView(bytes.buffer)
    bytes.set(Buffer.from(magic, 'latin1'))
    view.setUint32(8, this.#blocks.size, true)
    let offset = headerSize
    for (const [block, content] of this.#blocks) {
      view.setUint32(offset, block, true)
      bytes.set(content, offset + 4)
      offset += entrySize
    }
    return bytes
  }

  static import(bytes: Uint8Array, blockCount: number): MemoryOverlay {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const isOverlay = bytes.byteLength >= headerSize && Buffer.from(bytes.subarray(0, 8)).toString('latin1') === magic
    if (!isOverlay) throw new DiskError(undefined, 'is not one that was exported here')
    const count = view.getUint32(8, true)
    if (bytes.byteLength !== headerSize + count * entrySize) throw new DiskError(undefined, 'is cut off')
    const overlay = new MemoryOverlay()
    for (let offset = headerSize; offset < bytes.byteLength; offset += entrySize) {
      const block = view.getUint32(offset, true)
      if (block >= blockCount) throw new DiskError(undefined, 'is of a larger disk')
      overlay.write(block, bytes.subarray(offset + 4, offset + entrySize))
    }
    return overlay
  }

  close(): void {
    // The blocks can still be exported.
  }
}
