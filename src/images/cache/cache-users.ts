import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { errorCode } from '../../errors/native.js'
import { makeFolders } from '../../files/make-folders.js'
import { readDefinition } from '../../registry/definition-file.js'
import { namesIn } from '../../registry/names-in.js'
import { NotOwnError, readOwnFile } from '../../registry/own-file.js'
import { replaceFile } from '../../registry/replace-file.js'

/** The longest path of Linux. */
const maxPathBytes = 4096

/** Where the cache notes the folders whose VMs start from its images: a file for each, named by a hash. */
const notesIn = (root: string): string => join(root, 'users')

/** Notes that VMs in this folder start from images of the cache, if one of these is in it. */
export async function noteUsers(root: string, vms: string, images: readonly string[]): Promise<void> {
  if (!images.some((image) => dirname(dirname(image)) === root)) return
  const note = createHash('sha256').update(vms).digest('hex')
  const path = join(notesIn(root), note)
  if (ifReadable(() => readOwnFile(path, maxPathBytes)) === vms) return
  try {
    await makeFolders(notesIn(root))
    await replaceFile(path, vms)
  } catch (error) {
    // Nobody removes an image from a cache that can't be written to.
    if (errorCode(error) !== 'EROFS') throw error
  }
}

/** The noted folders with a VM whose definition names one of these files. One that is gone has none. */
export async function foldersUsing(root: string, paths: readonly string[]): Promise<string[]> {
  const words = paths.map((path) => JSON.stringify(path))
  const found: string[] = []
  for (const note of await namesIn(notesIn(root))) {
    const vms = ifReadable(() => readOwnFile(join(notesIn(root), note), maxPathBytes))
    if (vms === undefined) continue
    const ids = await vmsIn(vms)
    const isUsing = ids.some((id) => {
      const text = ifReadable(() => readDefinition(join(vms, id)))
      return text !== undefined && words.some((word) => text.includes(word))
    })
    if (isUsing) found.push(vms)
  }
  return found.sort()
}

async function vmsIn(folder: string): Promise<string[]> {
  try {
    return await namesIn(folder)
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}

/** `undefined` if the file is gone, or is not this user's. */
function ifReadable(read: () => string): string | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof NotOwnError || ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
