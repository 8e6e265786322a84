import { open, readdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { keptParts, type KeptPart, type RunLog } from './kept-part.js'

const chunkBytes = 64 * 1024

/** Reads a log from its beginning, as far as it is kept, and goes on as it grows; see `cutLog`. */
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

  /** @param from the place to begin at */
  static async open(folder: string, log: RunLog, from = 0): Promise<RunLogReader> {
    const file = await open(join(folder, log), 'r')
    try {
      return new RunLogReader(folder, log, file, (await file.stat()).ino, from)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** What comes next; empty where there is no more at present. */
  async read(): Promise<Buffer> {
    for (;;) {
      const bytes = await readAt(this.#file, this.#position)
      const files = await orNothing(readdir(this.#folder))
      const [kept] = keptParts(files ?? [], this.#log, this.#inode)
      // The log may have been cut while it was being read.
      if (kept === undefined || kept.end <= this.#position) {
        this.#position += bytes.byteLength
        return bytes
      }
      const before = await this.#readKept(kept)
      if (before.byteLength > 0) return before
    }
  }

  /** The last bytes, so many or a few more. */
  async tail(atLeast: number): Promise<Buffer> {
    const { size } = await this.#file.stat()
    this.#position = Math.max(0, size - atLeast)
    const parts = [await this.read()]
    for (let read = parts[0]?.byteLength ?? 0; read > 0 && this.#position < size;) {
      const part = await this.read()
      read = part.byteLength
      parts.push(part)
    }
    return Buffer.concat(parts)
  }

  /** All that there is at present from the place of the reader on. */
  async rest(): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let part = await this.read(); part.byteLength > 0; part = await this.read()) parts.push(part)
    return Buffer.concat(parts)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** Empty after the end, or where another cut has taken its place. */
  async #readKept({ file, end }: KeptPart): Promise<Buffer> {
    const part = await orNothing(open(join(this.#folder, file), 'r'))
    if (part === undefined) return Buffer.alloc(0)
    try {
      const start = end - (await part.stat()).size
      const from = Math.max(start, this.#position)
      const bytes = await readAt(part, from - start)
      this.#position = from + bytes.byteLength
      return bytes
    } finally {
      await part.close()
    }
  }
}

/** The last bytes of a log, so many or a few more; empty where there is no log. */
export async function readLogTail(folder: string, log: RunLog, atLeast: number): Promise<string> {
  const reader = await orNothing(RunLogReader.open(folder, log))
  if (reader === undefined) return ''
  try {
    return (await reader.tail(atLeast)).toString('utf8')
  } finally {
    await reader.close()
  }
}

/** What a log has from a place on, as far as it is kept; empty where there is no log. */
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

/** Nothing where it has been removed. */
async function orNothing<T>(opening: Promise<T>): Promise<T | undefined> {
  try {
    return await opening
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
