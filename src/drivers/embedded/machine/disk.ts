import { BaseImage } from './base-image.js'
import { DiskError } from './disk-error.js'
import { FileOverlay } from './file-overlay.js'
import { blockSize, MemoryOverlay, type Overlay } from './memory-overlay.js'
import type { DiskSpec, MediumSpec } from './protocol.js'
import { WaitingOverlay } from './waiting-overlay.js'

const sectorSize = 512

/** The interface of v86 to the content of a block device. The content is deliberately not part of a saved machine state. */
interface EmulatorDisk {
  readonly byteLength: number
  onload?: ((event: object) => void) | undefined
  load(): void
  get(start: number, length: number, done: (data: Uint8Array) => void): void
  /** These two give v86 the partition table, from which it guesses the geometry. */
  get_and_cache(start: number, length: number, done: (data: Uint8Array) => void): void
  get_from_cache(start: number, length: number): Uint8Array
  set(start: number, data: Uint8Array, done: () => void): void
  get_state(): readonly never[]
  set_state(): void
  get_buffer(done: (buffer: undefined) => void): void
}

/** A disk: a read-only image, and over it the blocks that the guest has written. */
export class Disk implements EmulatorDisk {
  readonly byteLength: number
  onload?: ((event: object) => void) | undefined
  readonly #base: BaseImage | undefined
  readonly #overlay: Overlay
  #bytesRead = 0
  #bytesWritten = 0

  constructor(byteLength: number, base: BaseImage | undefined, overlay: Overlay) {
    this.byteLength = byteLength
    this.#base = base
    this.#overlay = overlay
  }

  /** @throws DiskError if a file is missing, or does not fit the disk */
  static open(spec: DiskSpec): Disk {
    const { base: path, sizeBytes, overlay } = spec
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < sectorSize || sizeBytes % sectorSize !== 0) {
      throw new DiskError(
        path,
        `has ${String(sizeBytes)} bytes, which is not a positive multiple of ${String(sectorSize)}`,
      )
    }
    const base = path === undefined ? undefined : new BaseImage(path)
    try {
      return new Disk(sizeBytes, base, openOverlay(overlay, sizeBytes))
    } catch (error) {
      base?.close()
      throw error
    }
  }

  /** A read-only medium, a CD-ROM. Its size is cut to whole sectors of 2048 bytes, as its drive reads them. */
  static openMedium(spec: MediumSpec): Disk {
    const base = new BaseImage(spec.path)
    return new Disk(Math.floor(base.size / 2048) * 2048, base, new MemoryOverlay())
  }

  get bytesRead(): number {
    return this.#bytesRead
  }

  get bytesWritten(): number {
    return this.#bytesWritten
  }

  /** Why blocks that the guest wrote are not in the file yet. */
  get noRoom(): DiskError | undefined {
    return this.#overlay instanceof WaitingOverlay ? this.#overlay.noRoom : undefined
  }

  /** Writes the blocks that the host had no room for; throws a DiskError if there still is none. */
  flush(): void {
    if (this.#overlay instanceof WaitingOverlay) this.#overlay.flush()
  }

  /** The content of a memory overlay. Works on a closed disk as well. */
  exportOverlay(): Uint8Array<ArrayBuffer> {
    if (this.#overlay instanceof MemoryOverlay) return this.#overlay.export()
    throw new DiskError(this.#base?.path, 'has its changes in a file of its own')
  }

  close(): void {
    this.#base?.close()
    this.#overlay.close()
  }

  read(start: number, length: number): Uint8Array {
    this.#check(start, length)
    const result = new Uint8Array(length)
    let done = 0
    while (done < length) {
      const block = Math.floor((start + done) / blockSize)
      const offset = (start + done) % blockSize
      // Consecutive blocks that are not in the overlay are read from the image at once.
      let size = Math.min(length - done, blockSize - offset)
      if (this.#overlay.has(block)) {
        this.#overlay.read(block, offset, result.subarray(done, done + size))
      } else {
        while (done + size < length && !this.#overlay.has(Math.floor((start + done + size) / blockSize))) {
          size += Math.min(blockSize, length - done - size)
        }
        this.#base?.read(start + done, result.subarray(done, done + size))
      }
      done += size
    }
    this.#bytesRead += length
    return result
  }

  write(start: number, data: Uint8Array): void {
    this.#check(start, data.byteLength)
    let done = 0
    while (done < data.byteLength) {
      const block = Math.floor((start + done) / blockSize)
      const offset = (start + done) % blockSize
      const piece = data.subarray(done, done + blockSize - offset)
      this.#overlay.write(block, piece.byteLength === blockSize ? piece : this.#merge(block, offset, piece))
      done += piece.byteLength
    }
    this.#bytesWritten += data.byteLength
  }

  #merge(block: number, offset: number, piece: Uint8Array): Uint8Array {
    const content = new Uint8Array(blockSize)
    if (this.#overlay.has(block)) this.#overlay.read(block, 0, content)
    else this.#base?.read(block * blockSize, content)
    content.set(piece, offset)
    return content
  }

  #check(start: number, length: number): void {
    if (start < 0 || length < 0 || start + length > this.byteLength) {
      throw new RangeError(
        `Disk access at ${String(start)}, ${String(length)} bytes, is outside of ${String(this.byteLength)}`,
      )
    }
  }

  load(): void {
    this.onload?.({})
  }

  get(start: number, length: number, done: (data: Uint8Array) => void): void {
    done(this.read(start, length))
  }

  get_and_cache(start: number, length: number, done: (data: Uint8Array) => void): void {
    done(this.read(start, length))
  }

  get_from_cache(start: number, length: number): Uint8Array {
    return this.read(start, length)
  }

  set(start: number, data: Uint8Array, done: () => void): void {
    this.write(start, data)
    done()
  }

  get_state(): readonly never[] {
    return []
  }

  set_state(): void {
    // The content of the disk is not part of the saved machine.
  }

  get_buffer(done: (buffer: undefined) => void): void {
    done(undefined)
  }
}

const openOverlay = (spec: DiskSpec['overlay'], sizeBytes: number): Overlay => {
  if (spec.kind === 'file') return new WaitingOverlay(spec.path, new FileOverlay(spec.path, sizeBytes))
  if (spec.content === undefined) return new MemoryOverlay()
  return MemoryOverlay.import(spec.content, Math.ceil(sizeBytes / blockSize))
}
