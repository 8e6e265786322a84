import { InsufficientResourcesError } from '../../errors.js'
import { CopyLimit } from '../../files/copy-limit.js'
import { openSource } from '../../files/open-source.js'
import { writeWholeFile } from '../../files/whole-file.js'

/** Guests on paper keep their files in memory. */
const maxFileMiB = 256
const mebibyte = 2 ** 20

/** The content of a file of this machine that goes into a guest. */
export async function readLocalFile(path: string): Promise<Uint8Array> {
  const { file, size } = await openSource(path)
  try {
    if (size > maxFileMiB * mebibyte) {
      throw new InsufficientResourcesError({
        reason: `${path} has ${String(size)} bytes, and a simulated guest takes files of up to ${String(maxFileMiB)} MiB`,
      })
    }
    const limit = new CopyLimit(size)
    const pieces: Buffer[] = []
    for (;;) {
      const length = Math.min(mebibyte, limit.left)
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length)
      if (bytesRead === 0) return Buffer.concat(pieces)
      limit.add(bytesRead)
      pieces.push(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}

/** Writes a file of this machine, whole or not at all. */
export const writeLocalFile = (path: string, content: Uint8Array): Promise<void> =>
  writeWholeFile(path, 'simulated', ({ file }) => file.writeFile(content))
