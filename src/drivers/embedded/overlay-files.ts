import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { NotOwnError } from '../../registry/own-file.js'
import { requireBytes } from '../../registry/required-files.js'
import { mapHeaderSize } from './machine/file-overlay.js'
import { blockSize } from './machine/memory-overlay.js'

/** Makes the file of a disk that no machine has used yet: it is empty, and has no map. */
export async function makeOverlayFile(path: string): Promise<void> {
  await (await open(path, 'wx', 0o600)).close()
}

/** Throws unless an overlay has its file and its map, and the file has room for the blocks that the map is of. */
export function requireOverlay(path: string): void {
  const data = requireBytes(path, 0)
  const mapPath = `${path}.map`
  const map = statSync(mapPath, { throwIfNoEntry: false })
  if (map === undefined) {
    // The map is made before anything is written.
    if (data.blocks > 0) throw new NotOwnError(mapPath, 'it is missing, and the disk has content')
    return
  }
  const { size } = requireBytes(mapPath, mapHeaderSize + 1)
  // The last byte of the map is of one block at least.
  requireBytes(path, ((size - mapHeaderSize - 1) * 8 + 1) * blockSize)
}
