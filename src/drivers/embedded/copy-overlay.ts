import { constants } from 'node:fs'
import { copyFile, open, type FileHandle } from 'node:fs/promises'
import { blockSize } from './machine/memory-overlay.js'
import { mapHeaderSize } from './machine/file-overlay.js'
import { errorCode } from '../../errors/native.js'

/** At most so many blocks in one step: 1 MiB. */
const maxRun = 256

/**
 * Copies an overlay's file and map, only the blocks that are there: a copy of a sparse file made by the system may take its
 * full size. An overlay that no machine has used yet has no files, and needs none.
 */
export async function copyOverlayFiles(from: string, to: string): Promise<void> {
  let source: FileHandle
  try {
    source = await open(from, 'r')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  try {
    const target = await open(to, 'wx', 0o600)
    try {
      await copyBlocks(source, target, await readMap(`${from}.map`))
      await target.truncate((await source.stat()).size)
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
  await copyFile(`${from}.map`, `${to}.map`, constants.COPYFILE_EXCL)
}

async function readMap(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    return (await file.readFile()).subarray(mapHeaderSize)
  } finally {
    await file.close()
  }
}

async function copyBlocks(source: FileHandle, target: FileHandle, bits: Uint8Array): Promise<void> {
  const isThere = (block: number): boolean => (((bits[block >> 3] ?? 0) >> (block & 7)) & 1) === 1
  const end = bits.byteLength * 8
  for (let block = 0; block < end; block += 1) {
    if (!isThere(block)) continue
    let run = 1
    while (run < maxRun && block + run < end && isThere(block + run)) run += 1
    const { buffer, bytesRead } = await source.read(
      Buffer.alloc(run * blockSize),
      0,
      run * blockSize,
      block * blockSize,
    )
    await target.write(buffer, 0, bytesRead, block * blockSize)
    block += run
  }
}
