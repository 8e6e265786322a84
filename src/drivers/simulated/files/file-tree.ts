import { fileError } from '../../../guest/guest-failure.js'
import type { GuestFileErrno } from '../../../model/guest-file.js'

/** The numbers of an owner and a group. */
export interface OwnerIds {
  readonly uid: number
  readonly gid: number
}

/** What every file of a simulated guest has. */
export interface FileProperties extends OwnerIds {
  readonly mode: number
  readonly mtimeMs: number
  readonly atimeMs: number
  readonly ctimeMs: number
}

/** A file. The names of one that has several, by hard links, share it until it changes. */
export interface RegularFile extends FileProperties {
  readonly type: 'file'
  readonly content: Uint8Array
}

export interface Folder extends FileProperties {
  readonly type: 'directory'
  readonly entries: ReadonlyMap<string, FileNode>
}

interface Link extends FileProperties {
  readonly type: 'symlink'
  readonly target: string
}

/** A device. */
interface Device extends FileProperties {
  readonly type: 'other'
}

/** A file of a simulated guest. Immutable, since clones and snapshots share it. */
export type FileNode = RegularFile | Folder | Link | Device

/** Where a path leads: to a file, or to a name in a folder that has no such file. */
export interface Place {
  /** The names from the root on, without links. */
  readonly names: readonly string[]
  readonly node: FileNode | undefined
}

/** How many links Linux follows in one path (MAXSYMLINKS of include/linux/namei.h). */
const maxLinks = 40

/**
 * Follows a path, from the root if it is relative.
 *
 * @throws GuestFileError ENOENT if a folder of it is missing, ENOTDIR if one is no folder, ELOOP if links lead in a circle, or
 *   ENOENT if the last one leads nowhere
 */
export function find(root: Folder, path: string, { follow }: { readonly follow: boolean }): Place {
  let left = namesOf(path)
  let at: { readonly name: string; readonly node: FileNode }[] = []
  let links = 0
  let isDangling = false
  const here = (): FileNode => at.at(-1)?.node ?? root
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    const folder = here()
    if (folder.type !== 'directory') throw refuse('ENOTDIR', path)
    if (name === '..') {
      at.pop()
      continue
    }
    const node = folder.entries.get(name)
    const isLast = left.length === 0
    if (node === undefined) {
      if (!isLast || isDangling) throw refuse('ENOENT', path)
      return { names: [...at.map((step) => step.name), name], node: undefined }
    }
    if (node.type === 'symlink' && (follow || !isLast)) {
      links += 1
      if (links > maxLinks) throw refuse('ELOOP', path)
      isDangling ||= isLast
      if (node.target.startsWith('/')) at = []
      left = [...namesOf(node.target), ...left]
      continue
    }
    at.push({ name, node })
  }
  const node = here()
  if (path.endsWith('/') && node.type !== 'directory') throw refuse('ENOTDIR', path)
  return { names: at.map((step) => step.name), node }
}

/** The folder with another file in a place whose folder exists; without the file if it is `undefined`. */
export function withNode(
  folder: Folder,
  [name, ...below]: readonly string[],
  node: FileNode | undefined,
  nowMs: number,
): Folder {
  if (name === undefined) return node?.type === 'directory' ? node : folder
  const entries = new Map(folder.entries)
  if (below.length > 0) {
    const inner = folder.entries.get(name)
    if (inner?.type !== 'directory') return folder
    entries.set(name, withNode(inner, below, node, nowMs))
    return { ...folder, entries }
  }
  if (node === undefined) entries.delete(name)
  else entries.set(name, node)
  return { ...folder, entries, mtimeMs: nowMs, ctimeMs: nowMs }
}

/** The properties of a new file of root's. */
export const newProperties = (mode: number, atMs: number): FileProperties => ({
  mode,
  uid: 0,
  gid: 0,
  mtimeMs: atMs,
  atimeMs: atMs,
  ctimeMs: atMs,
})

export const newFolder = (mode: number, atMs: number): Folder => ({
  ...newProperties(mode, atMs),
  type: 'directory',
  entries: new Map(),
})

/** A folder with all that is in it as that of another owner. */
export function ownedBy(folder: Folder, ids: OwnerIds): Folder {
  const entries = [...folder.entries].map(([name, node]): [string, FileNode] => [
    name,
    node.type === 'directory' ? ownedBy(node, ids) : { ...node, ...ids },
  ])
  return { ...folder, ...ids, entries: new Map(entries) }
}

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '' && name !== '.')

const words: Partial<Record<GuestFileErrno, string>> = {
  EBUSY: 'is the root',
  EEXIST: 'is there already',
  EINVAL: 'is no file or folder',
  EISDIR: 'is a folder',
  ELOOP: 'has links that lead in a circle',
  ENOENT: 'is not there',
  ENOTDIR: 'is not a folder, or has a part that is not a folder',
  ENOTEMPTY: 'is a folder that is not empty',
}

/** The error of a file of a simulated guest. */
export const refuse = (errno: GuestFileErrno, path: string, hint?: string): Error =>
  fileError(errno, path, `in the guest, ${path} ${words[errno] ?? errno}`, undefined, hint)
