import type { FileHandle } from 'node:fs/promises'

/** One write takes at most 2 GiB. */
const pieceBytes = 2 ** 26

/** Writes all bytes of a chunk: a single write may end early, as on a disk that is almost full. */
export async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.byteLength;) {
    const length = Math.min(pieceBytes, chunk.byteLength - done)
    done += (await file.write(chunk, done, length, position + done)).bytesWritten
  }
}
