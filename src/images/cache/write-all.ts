import type { FileHandle } from 'node:fs/promises'

/** Writes all bytes of a chunk: a single write may end early, as on a disk that is almost full. */
export async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    done += (await file.write(chunk, done, chunk.length - done, position + done)).bytesWritten
  }
}
