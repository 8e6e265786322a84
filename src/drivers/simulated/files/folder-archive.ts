import { posix } from 'node:path'
import { InsufficientResourcesError } from '../../../errors.js'
import { ByteReader } from '../../../files/byte-reader.js'
import { TarReader } from '../../../files/tar-reader.js'
import { tarBlock, tarHeader, tarPadding, type TarEntry } from '../../../files/tar-header.js'
import { find, newFolder, newProperties, withNode, type FileNode, type Folder } from './file-tree.js'

/** Simulated guests keep their files in memory. */
export const maxCopyBytes = 256 * 2 ** 20

/** A folder of a guest, from the archive of one of this machine. */
export async function folderOf(archive: AsyncIterable<Uint8Array>): Promise<Folder> {
  const tar = new TarReader(new ByteReader(archive))
  let root = newFolder(0o755, 0)
  let size = 0
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    size += entry.size
    if (size > maxCopyBytes) throw tooLarge()
    const pieces: Buffer[] = []
    for await (const piece of tar.content()) pieces.push(Buffer.from(piece))
    const names = entry.path.split('/').filter((name) => name !== '' && name !== '.')
    root = withNode(root, names, nodeOf(entry, Buffer.concat(pieces), root, names), entry.mtime * 1000)
  }
  return root
}

function nodeOf(
  { type, mode, mtime, target = '' }: TarEntry,
  content: Uint8Array,
  root: Folder,
  names: readonly string[],
): FileNode | undefined {
  const properties = newProperties(mode, mtime * 1000)
  switch (type) {
    case 'directory': {
      // A folder comes a second time after what is in it, with its own permissions and times.
      const before = names.length === 0 ? root : find(root, names.join('/'), { follow: false }).node
      return {
        ...properties,
        type,
        entries: before?.type === 'directory' ? before.entries : new Map<string, FileNode>(),
      }
    }
    case 'symlink':
      return { ...properties, type, target }
    case 'link':
      return find(root, target, { follow: false }).node
    case 'file':
      return { ...properties, type, content }
  }
}

/** The number of bytes in the files of a folder. */
export function bytesIn(folder: Folder): number {
  let size = 0
  for (const node of folder.entries.values()) {
    if (node.type === 'file') size += node.content.byteLength
    else if (node.type === 'directory') size += bytesIn(node)
  }
  return size
}

/** The archive of a folder of a guest. */
export async function* archiveOf(folder: Folder): AsyncGenerator<Buffer> {
  yield* entriesOf(folder, '.', new Map())
  await Promise.resolve()
  yield Buffer.alloc(2 * tarBlock)
}

function* entriesOf(node: FileNode, path: string, earlier: Map<FileNode, string>): Generator<Buffer> {
  const entry = { path, mode: node.mode, mtime: Math.floor(node.mtimeMs / 1000), size: 0 }
  if (node.type === 'directory') {
    yield tarHeader({ ...entry, type: 'directory' })
    for (const [name, below] of node.entries) yield* entriesOf(below, posix.join(path, name), earlier)
  } else if (node.type === 'symlink') yield tarHeader({ ...entry, type: 'symlink', target: node.target })
  else if (node.type === 'file') {
    const target = earlier.get(node)
    if (target !== undefined) yield tarHeader({ ...entry, type: 'link', target })
    else {
      earlier.set(node, path)
      const size = node.content.byteLength
      yield tarHeader({ ...entry, type: 'file', size })
      yield Buffer.from(node.content)
      yield Buffer.alloc(tarPadding(size))
    }
  }
}

export const tooLarge = (): InsufficientResourcesError =>
  new InsufficientResourcesError({
    reason: `a simulated guest takes copies of up to ${String(maxCopyBytes / 2 ** 20)} MiB`,
  })
