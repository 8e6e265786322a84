import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { has } from './image-sample.js'

/** Compressions around a whole image that are taken off: the first bytes of each, and the command that people unpack it by. */
export const packings = {
  gzip: { bytes: Buffer.from('1f8b08', 'hex'), command: 'gunzip' },
  xz: { bytes: Buffer.from('fd377a585a00', 'hex'), command: 'unxz' },
  zstd: { bytes: Buffer.from('28b52ffd', 'hex'), command: 'unzstd' },
} as const

export type Packing = keyof typeof packings

const names = Object.keys(packings) as Packing[]

/** The compression of a file; `undefined` if it has none of these, or can't be read, which is reported when it is used. */
export async function packingOf(path: string): Promise<Packing | undefined> {
  // Without blocking: a pipe would wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    if (!(await file.stat()).isFile()) return undefined
    const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0)
    return names.find((name) => has(buffer, 0, packings[name].bytes))
  } finally {
    await file.close()
  }
}
