import { open, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { openOwn } from './own-file.js'

const chunkBytes = 2 ** 20

/** Copies files into another folder, which has none of them yet, and flushes them to disk. */
export async function copyFiles(
  from: string,
  to: string,
  names: Iterable<string>,
  options: { readonly signal: AbortSignal; readonly onProgress: (doneBytes: number, totalBytes: number) => void },
): Promise<void> {
  let total = 0
  for (const name of names) total += (await stat(join(from, name))).size
  let done = 0
  for (const name of names) {
    await using source = await openOwn(join(from, name), { isShared: true })
    await using target = await open(join(to, name), 'wx', 0o600)
    for await (const bytes of copyChunks(source, target)) {
      done += bytes
      options.onProgress(done, total)
      options.signal.throwIfAborted()
    }
    await target.sync()
  }
}

/** Yields the size of each chunk after it was copied. */
async function* copyChunks(source: FileHandle, target: FileHandle): AsyncGenerator<number> {
  const buffer = Buffer.alloc(chunkBytes)
  for (;;) {
    const { bytesRead } = await source.read(buffer, 0, chunkBytes)
    if (bytesRead === 0) return
    await target.writeFile(buffer.subarray(0, bytesRead))
    yield bytesRead
  }
}
