import { open } from 'node:fs/promises'

/** The header of a firmware volume (UEFI Platform Initialization Specification, volume 3, section 3.2.1), up to its signature. */
const headerBytes = 0x2c
const kindAt = 0x10
const signatureAt = 0x28
/** EFI_SYSTEM_NV_DATA_FV_GUID: the volume has variables. Whole images, which `-bios` takes, begin with it, and so do templates. */
const variables = '8d2bf1ff96768b4ca9852747075b4f50'

/** True for the code of a UEFI without its variables, which has to be in flash memory. */
export async function isFlashCode(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
    if (bytesRead < headerBytes || buffer.toString('latin1', signatureAt) !== '_FVH') return false
    return buffer.toString('hex', kindAt, kindAt + 16) !== variables
  } finally {
    await file.close()
  }
}
