import { GuestFileError } from '../../../errors.js'
import { fileError } from '../../../guest/guest-failure.js'
import type { GuestEntry, GuestStats } from '../../../model/guest-file.js'
import {
  find,
  newFolder,
  newProperties,
  refuse,
  withNode,
  type FileNode,
  type FileProperties,
  type Folder,
  type OwnerIds,
  type Place,
  type RegularFile,
} from './file-tree.js'

export interface WriteOptions {
  /** The permissions of a new file; 0o644 if absent. */
  readonly mode?: number | undefined
  readonly append?: boolean | undefined
  /** When it was changed; now if absent. */
  readonly mtimeMs?: number | undefined
  /** The owner, also of one that it replaces. */
  readonly ids?: OwnerIds | undefined
}

/** The files of a simulated guest. A method that changes them replaces the whole tree, which others may share. */
export class FileSystem {
  #root: Folder
  readonly #nowMs: number

  constructor(root: Folder, nowMs: number) {
    this.#root = root
    this.#nowMs = nowMs
  }

  get root(): Folder {
    return this.#root
  }

  /** `undefined` if there is no such file, also since what it leads through is no folder. */
  stat(path: string, followLinks: boolean): GuestStats | undefined {
    const node = this.node(path, followLinks)
    if (node === undefined) return undefined
    const { type, mode, uid, gid, mtimeMs, atimeMs, ctimeMs } = node
    return {
      type,
      size: sizeOf(node),
      mode,
      uid,
      gid,
      mtime: new Date(mtimeMs),
      atime: new Date(atimeMs),
      ctime: new Date(ctimeMs),
      ...(node.type === 'symlink' && { target: node.target }),
    }
  }

  /** `undefined` if there is no such file. */
  node(path: string, followLinks: boolean): FileNode | undefined {
    try {
      return find(this.#root, path, { follow: followLinks }).node
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  read(path: string): Uint8Array {
    const node = this.#require(path).node
    if (node.type === 'directory') throw refuse('EISDIR', path)
    if (node.type !== 'file') throw refuse('EINVAL', path)
    return node.content
  }

  /** Replaces a file, which keeps its permissions and owner, or makes one. */
  write(path: string, content: Uint8Array, options: WriteOptions = {}): void {
    const { mode = 0o644, append = false, mtimeMs = this.#nowMs, ids } = options
    const { names, node } = find(this.#root, path, { follow: true })
    if (node?.type === 'directory') throw refuse('EISDIR', path)
    if (node !== undefined && node.type !== 'file') throw refuse('EINVAL', path)
    const all = append && node !== undefined ? Buffer.concat([node.content, content]) : content
    const properties = { ...newProperties(mode, this.#nowMs), ...keptOf(node), ...ids, mtimeMs }
    this.#set(names, { ...properties, type: 'file', content: all })
  }

  /** What is copied: a file or folder, that a link may lead to. */
  copied(path: string): RegularFile | Folder {
    const { node } = this.#require(path)
    if (node.type === 'file' || node.type === 'directory') return node
    throw refuse('EINVAL', path)
  }

  list(path: string): GuestEntry[] {
    const { node } = this.#require(path)
    if (node.type !== 'directory') throw refuse('ENOTDIR', path)
    return [...node.entries].map(([name, { type }]) => ({ name, type }))
  }

  makeFolder(
    path: string,
    { recursive, mode = 0o755 }: { readonly recursive: boolean; readonly mode?: number | undefined },
  ): void {
    if (recursive) this.#makeFoldersAbove(path)
    const { names, node } = find(this.#root, path, { follow: true })
    if (node?.type === 'directory' && recursive) return
    if (node !== undefined) throw refuse('EEXIST', path)
    this.#set(names, this.#newFolder(mode))
  }

  remove(path: string, { recursive, force }: { readonly recursive: boolean; readonly force: boolean }): void {
    if (force && this.node(path, false) === undefined) return
    const { names, node } = this.#require(path, false)
    if (names.length === 0) throw refuse('EBUSY', path)
    if (node.type === 'directory' && !recursive) throw refuse('EISDIR', path)
    this.#set(names, undefined)
  }

  rename(from: string, to: string): void {
    const source = this.#require(from, false)
    const target = find(this.#root, to, { follow: false })
    if (source.names.length === 0) throw refuse('EBUSY', from)
    if (target.names.length > source.names.length && source.names.every((name, at) => target.names[at] === name)) {
      throw fileError('EINVAL', to, `in the guest, ${to} is in ${from}, which can't be moved into itself`)
    }
    if (target.node === source.node) return
    if (source.node.type === 'directory') {
      if (target.node !== undefined && target.node.type !== 'directory') throw refuse('ENOTDIR', to)
      if (target.node !== undefined && target.node.entries.size > 0) throw refuse('ENOTEMPTY', to)
    } else if (target.node?.type === 'directory') throw refuse('EISDIR', to)
    this.#set(source.names, undefined)
    this.#set(target.names, source.node)
  }

  /** Puts a copy of a folder under a name. */
  graft(path: string, folder: Folder): void {
    this.#set(this.#placeOfFolder(path).names, folder)
  }

  /** A new name, or that of an empty folder. */
  #placeOfFolder(path: string): Place {
    const place = find(this.#root, path, { follow: true })
    if (place.node === undefined) return place
    if (place.node.type !== 'directory') throw refuse('ENOTDIR', path)
    if (place.node.entries.size === 0) return place
    throw refuse('ENOTEMPTY', path, 'Name a folder that is not there yet, or remove that one first.')
  }

  #makeFoldersAbove(path: string): void {
    const above = path.replace(/\/+[^/]*\/*$/, '')
    if (above === '' || above === path) return
    this.#makeFoldersAbove(above)
    const node = this.node(above, true)
    if (node === undefined) this.#set(this.#placeOrRefusal(above, path).names, this.#newFolder(0o755))
    else if (node.type !== 'directory') throw refuse('ENOTDIR', path)
  }

  /** Names the path that the caller has given in a refusal. */
  #placeOrRefusal(above: string, path: string): Place {
    try {
      return find(this.#root, above, { follow: true })
    } catch (error) {
      throw isErrno(error, 'ENOTDIR') ? refuse('ENOTDIR', path) : error
    }
  }

  #require(path: string, follow = true): Place & { readonly node: FileNode } {
    const { names, node } = find(this.#root, path, { follow })
    if (node === undefined) throw refuse('ENOENT', path)
    return { names, node }
  }

  #newFolder(mode: number): Folder {
    return newFolder(mode, this.#nowMs)
  }

  #set(names: readonly string[], node: FileNode | undefined): void {
    this.#root = withNode(this.#root, names, node, this.#nowMs)
  }
}

function sizeOf(node: FileNode): number {
  if (node.type === 'file') return node.content.byteLength
  return node.type === 'symlink' ? Buffer.byteLength(node.target) : 0
}

/** What a file that is replaced leaves to the new one. */
function keptOf(node: FileNode | undefined): Partial<FileProperties> {
  return node === undefined ? {} : { mode: node.mode, uid: node.uid, gid: node.gid }
}

const isErrno = (error: unknown, ...errnos: readonly string[]): boolean =>
  error instanceof GuestFileError && errnos.includes(error.errno)
