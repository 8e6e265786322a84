import type { FileHandle } from 'node:fs/promises'

/** What is read of an image to find its format: its begin, and small parts that the format needs. */
export interface ImageSample {
  /** The first 64 KiB, or the whole file if it is shorter. */
  readonly head: Buffer
  /** The length of the file. */
  readonly bytes: number
  /** Reads a part of the file, at most 64 KiB; shorter if the file ends before. */
  readonly read: (at: number, length: number) => Promise<Buffer>
}

const maxBytes = 64 * 1024

/** Takes a sample of an open file. */
export async function sampleOf(file: FileHandle): Promise<ImageSample> {
  const { size: bytes } = await file.stat()
  const read = async (at: number, length: number): Promise<Buffer> => {
    if (at < 0 || at >= bytes) return Buffer.alloc(0)
    const wanted = Math.min(length, maxBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, at)
    return buffer.subarray(0, bytesRead)
  }
  return { head: await read(0, maxBytes), bytes, read }
}

/** True if a sample has these bytes at this place. */
export const has = (bytes: Buffer, at: number, expected: Buffer | string): boolean => {
  const wanted = typeof expected === 'string' ? Buffer.from(expected, 'latin1') : expected
  return bytes.subarray(at, at + wanted.length).equals(wanted)
}
