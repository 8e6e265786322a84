import { open } from 'node:fs/promises'
import { InvalidArgumentError } from '../../errors.js'
import { checkFile } from '../../files/check-file.js'

const mebibyte = 2 ** 20

/** No kernel, initrd or BIOS is larger. All are read into memory. */
const maxBytes = { kernel: 1024 * mebibyte, initrd: 1024 * mebibyte, firmware: mebibyte, videoFirmware: mebibyte }

/**
 * Reads a file that a machine boots.
 *
 * @param root the parameter or record that names it, for the error: `spec.boot`
 */
export async function readBootFile(file: string, setting: keyof typeof maxBytes, root: string): Promise<Uint8Array> {
  const path = `${root}.${setting}`
  const { sizeBytes } = await checkFile(file, path, 'embedded')
  const limit = maxBytes[setting]
  if (sizeBytes > limit) {
    const reason = `${path} must have at most ${String(limit)} bytes, and ${file} has ${String(sizeBytes)}`
    throw new InvalidArgumentError({ path, reason })
  }
  const handle = await open(file)
  try {
    // The size that was checked, even if the file has grown since.
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}
