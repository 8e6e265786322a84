import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { openOwnFile } from '../../../registry/own-file.js'
import { DiskError } from './disk-error.js'
import { blockSize, type Overlay } from './memory-overlay.js'

const { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY } = constants

const magic = 'AWVMMAP1'
export const mapHeaderSize = 16

/**
 * An overlay kept in a sparse file of the disk's own layout, and beside it `<path>.map`: a header and one bit per
 * block that the file has. A block's bit is set after its content is written, so that the two agree if the process is
 * killed. Without a map, the content of the file does not count.
 */
export class FileOverlay implements Overlay {
  readonly #path: string
  readonly #bits: Uint8Array
  #data: number | undefined
  #map: number | undefined

  constructor(path: string, sizeBytes: number) {
    this.#path = path
    const mapPath = `${path}.map`
    const blocks = Math.ceil(sizeBytes / blockSize)
    this.#bits = new Uint8Array(Math.ceil(blocks / 8))
    const isNew = statSync(mapPath, { throwIfNoEntry: false }) === undefined
    try {
      this.#data = openOwnFile(path, { flags: isNew ? O_RDWR | O_CREAT : O_RDWR })
      // Before the map: a file that is shorter than its map says was truncated.
      if (fstatSync(this.#data).size < blocks * blockSize) ftruncateSync(this.#data, blocks * blockSize)
      if (isNew) createMap(mapPath, sizeBytes, this.#bits.byteLength)
      this.#map = openOwnFile(mapPath, { flags: O_RDWR })
      this.#readMap(mapPath, sizeBytes)
    } catch (error) {
      const isHalfMade = isNew && this.#data !== undefined
      this.close()
      // The file stays: without it, the disk would count as lost.
      if (isHalfMade) rmSync(mapPath, { force: true })
      if (error instanceof DiskError) throw error
      throw new DiskError(path, `cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  has(block: number): boolean {
    return (((this.#bits[block >> 3] ?? 0) >> (block & 7)) & 1) === 1
  }

  read(block: number, offset: number, target: Uint8Array): void {
    const position = block * blockSize + offset
    let done = 0
    while (done < target.byteLength) {
      const count = readSync(this.#file, target, done, target.byteLength - done, position + done)
      if (count === 0) throw new DiskError(this.#path, 'was cut off while a machine was using it')
      done += count
    }
  }

  write(block: number, content: Uint8Array): void {
    writeFully(this.#file, content, block * blockSize)
    if (this.has(block)) return
    const index = block >> 3
    const byte = (this.#bits[index] ?? 0) | (1 << (block & 7))
    writeFully(this.#mapFile, Uint8Array.of(byte), mapHeaderSize + index)
    this.#bits[index] = byte
  }

  close(): void {
    if (this.#data !== undefined) closeSync(this.#data)
    if (this.#map !== undefined) closeSync(this.#map)
    this.#data = undefined
    this.#map = undefined
  }

  get #file(): number {
    if (this.#data === undefined) throw new DiskError(this.#path, 'is closed')
    return this.#data
  }

  get #mapFile(): number {
    if (this.#map === undefined) throw new DiskError(this.#path, 'is closed')
    return this.#map
  }

  #readMap(mapPath: string, sizeBytes: number): void {
    const header = new Uint8Array(mapHeaderSize)
    const count = readSync(this.#mapFile, header, 0, mapHeaderSize, 0)
    if (count !== mapHeaderSize || Buffer.from(header.subarray(0, 8)).toString('latin1') !== magic) {
      throw new DiskError(mapPath, 'is not the map of a disk overlay')
    }
    const view = new DataView(header.buffer)
    const knownSize = Number(view.getBigUint64(8, true))
    if (knownSize > sizeBytes) {
      throw new DiskError(this.#path, `is of a disk of ${String(knownSize)} bytes, not ${String(sizeBytes)}`)
    }
    const knownBytes = mapHeaderSize + Math.ceil(Math.ceil(knownSize / blockSize) / 8)
    if (fstatSync(this.#mapFile).size < knownBytes) throw new DiskError(mapPath, 'was cut short')
    // A short file is from a time when the disk was smaller: the blocks past its end were never written.
    readSync(this.#mapFile, this.#bits, 0, this.#bits.byteLength, mapHeaderSize)
    if (knownSize < sizeBytes) {
      view.setBigUint64(8, BigInt(sizeBytes), true)
      ftruncateSync(this.#mapFile, mapHeaderSize + this.#bits.byteLength)
      writeFully(this.#mapFile, header, 0)
    }
  }
}

/** Made under another name and renamed, so that a map is complete or absent. */
const createMap = (path: string, sizeBytes: number, bitmapBytes: number): void => {
  const temporary = `${path}.new`
  const file = openOwnFile(temporary, { flags: O_WRONLY | O_CREAT | O_TRUNC })
  try {
    const header = new Uint8Array(mapHeaderSize)
    header.set(Buffer.from(magic, 'latin1'))
    new DataView(header.buffer).setBigUint64(8, BigInt(sizeBytes), true)
    writeFully(file, header, 0)
    ftruncateSync(file, mapHeaderSize + bitmapBytes)
    renameSync(temporary, path)
  } finally {
    closeSync(file)
    rmSync(temporary, { force: true })
  }
}

const writeFully = (file: number, content: Uint8Array, position: number): void => {
  let done = 0
  while (done < content.byteLength) done += writeSync(file, content, done, content.byteLength - done, position + done)
}
