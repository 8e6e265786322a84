import { existsSync, statSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { errorCode } from '../../errors/native.js'
import { NotOwnError, openOwn, readOwnBytes } from '../../registry/own-file.js'
import { requireBytes } from '../../registry/required-files.js'
import { mapHeaderSize } from './machine/file-overlay.js'
import { blockSize } from './machine/memory-overlay.js'

/** The most blocks that are copied in one step: 1 MiB. */
const maxRun = 256
/** The size of the map of a disk of 2 TiB; no disk is larger. */
const maxMapBytes = 64 * 2 ** 20

/** Makes the overlay of a disk that no machine has used yet: an empty file without a map. */
export async function makeOverlayFile(path: string): Promise<void> {
  await (await open(path, 'wx', 0o600)).close()
}

/** True if a machine has used the overlay: before that it has no map, and no content. */
export const wasUsed = (path: string): boolean => existsSync(`${path}.map`)

/** Throws if the file or the map of an overlay is missing, or the file is too short for the blocks in the map. */
export function requireOverlay(path: string): void {
  const data = requireBytes(path, 0)
  const mapPath = `${path}.map`
  const map = statSync(mapPath, { throwIfNoEntry: false })
  if (map === undefined) {
    // A file with content has a map: the map is made before the first write.
    if (data.blocks > 0) throw new NotOwnError(mapPath, 'it is missing, and the disk has content')
    return
  }
  const { size } = requireBytes(mapPath, mapHeaderSize + 1)
  // The last byte of the map has at least one block.
  requireBytes(path, ((size - mapHeaderSize - 1) * 8 + 1) * blockSize)
}

/**
 * Copies an overlay's file and map, only the blocks that are there: a copy of a sparse file made by the system may take its
 * full size. An overlay without a map has no content: no machine has used it yet.
 */
export async function copyOverlayFiles(from: string, to: string): Promise<void> {
  const map = await readMap(`${from}.map`)
  if (map === undefined) return makeOverlayFile(to)
  await using source = await openOwn(from)
  await using target = await open(to, 'wx', 0o600)
  await copyBlocks(source, target, map.subarray(mapHeaderSize))
  await target.truncate((await source.stat()).size)
  await target.sync()
  await using targetMap = await open(`${to}.map`, 'wx', 0o600)
  await targetMap.writeFile(map)
  await targetMap.sync()
}

async function readMap(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readOwnBytes(path, maxMapBytes)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
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
