import { readdir, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { openOwn } from '../../../registry/own-file.js'
import { keptParts, type KeptPart, type RunLog } from './kept-part.js'

const chunkBytes = 64 * 1024

/** The result of a read: the bytes, and how many before them were lost by a cut. */
interface LogPart {
  readonly bytes: Buffer
  readonly lostBytes: number
}

/** Reads a log from its beginning, as far as it is kept, and continues as it grows; see `cutLog`. */
export class RunLogReader {
  readonly #folder: string
  readonly #log: RunLog
  readonly #file: FileHandle
  readonly #inode: number
  #position: number

  private constructor(folder: string, log: RunLog, file: FileHandle, inode: number, from: number) {
    this.#folder = folder
    this.#log = log
    this.#file = file
    this.#inode = inode
    this.#position = from
  }

  /** @param from the position to begin at; the first byte that is kept, if absent */
  static async open(folder: string, log: RunLog, from?: number): Promise<RunLogReader> {
    const file = await openOwn(join(folder, log))
    try {
      const reader = new RunLogReader(folder, log, file, (await file.stat()).ino, from ?? 0)
      if (from === undefined) await reader.#skipWhatIsLost()
      return reader
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The next bytes; empty at the present end. */
  async read(): Promise<LogPart> {
    let lostBytes = 0
    for (;;) {
      const bytes = await readAt(this.#file, this.#position)
      const kept = await this.#keptPart()
      // The log may have been cut while it was being read.
      if (kept === undefined || kept.end <= this.#position) {
        this.#position += bytes.byteLength
        return { bytes, lostBytes }
      }
      const before = await this.#readKept(kept)
      lostBytes += before.lostBytes
      if (before.bytes.byteLength > 0) return { bytes: before.bytes, lostBytes }
    }
  }

  /** At least so many of the last bytes. */
  async tail(atLeast: number): Promise<Buffer> {
    const { size } = await this.#file.stat()
    this.#position = Math.max(0, size - atLeast)
    const { bytes: first } = await this.read()
    const parts = [first]
    for (let read = first.byteLength; read > 0 && this.#position < size;) {
      const { bytes } = await this.read()
      read = bytes.byteLength
      parts.push(bytes)
    }
    return Buffer.concat(parts)
  }

  /** Everything from the reader's position to the present end. */
  async rest(): Promise<Buffer> {
    const parts: Buffer[] = []
    for (;;) {
      const { bytes } = await this.read()
      if (bytes.byteLength === 0) return Buffer.concat(parts)
      parts.push(bytes)
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async #keptPart(): Promise<KeptPart | undefined> {
    const files = await orNothing(readdir(this.#folder))
    return keptParts(files ?? [], this.#log, this.#inode)[0]
  }

  async #skipWhatIsLost(): Promise<void> {
    for (let kept = await this.#keptPart(); kept !== undefined; kept = await this.#keptPart()) {
      const stats = await orNothing(stat(join(this.#folder, kept.file)))
      // Another cut may have replaced the file.
      if (stats === undefined) continue
      this.#position = kept.end - stats.size
      return
    }
  }

  /** Empty at the end of the part, or if another cut has replaced it. */
  async #readKept({ file, end }: KeptPart): Promise<LogPart> {
    const part = await orNothing(openOwn(join(this.#folder, file)))
    if (part === undefined) return { bytes: Buffer.alloc(0), lostBytes: 0 }
    try {
      const start = end - (await part.stat()).size
      const from = Math.max(start, this.#position)
      const bytes = await readAt(part, from - start)
      const lostBytes = from - this.#position
      this.#position = from + bytes.byteLength
      return { bytes, lostBytes }
    } finally {
      await part.close()
    }
  }
}

/** At least so many of the last bytes of a log; empty if there is no log. */
export async function readLogTail(folder: string, log: RunLog, atLeast: number): Promise<string> {
  const reader = await orNothing(RunLogReader.open(folder, log))
  if (reader === undefined) return ''
  try {
    return (await reader.tail(atLeast)).toString('utf8')
  } finally {
    await reader.close()
  }
}

/** A log from a position on, as far as it is kept; empty if there is no log. */
export async function readLogFrom(folder: string, log: RunLog, from: number): Promise<Buffer> {
  const reader = await orNothing(RunLogReader.open(folder, log, from))
  if (reader === undefined) return Buffer.alloc(0)
  try {
    return await reader.rest()
  } finally {
    await reader.close()
  }
}

async function readAt(file: FileHandle, position: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position)
  return buffer.subarray(0, bytesRead)
}

/** `undefined` if the file was removed. */
async function orNothing<T>(opening: Promise<T>): Promise<T | undefined> {
  try {
    return await opening
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
