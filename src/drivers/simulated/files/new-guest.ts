import type { FileNode, Folder } from './file-tree.js'

/** The folders at the root of every guest (Filesystem Hierarchy Standard 3.0). */
const folders = 'bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var'.split(' ')

const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console']

const properties = { uid: 0, gid: 0, mtimeMs: 0, atimeMs: 0, ctimeMs: 0 }

const folderOf = (entries: readonly (readonly [string, FileNode])[], mode = 0o755): Folder => ({
  ...properties,
  type: 'directory',
  mode,
  entries: new Map(entries),
})

const empty = folderOf([])
const tmp = folderOf([], 0o1777)
const dev = folderOf(devices.map((name) => [name, { ...properties, type: 'other', mode: 0o666 }]))

/** The files of a guest that has just been installed, with its host name. */
export function filesOfNewGuest(hostName: string): Folder {
  const content = new TextEncoder().encode(`${hostName}\n`)
  const etc = folderOf([['hostname', { ...properties, type: 'file', mode: 0o644, content }]])
  const special: Readonly<Record<string, Folder>> = { dev, etc, tmp }
  return folderOf(folders.map((name) => [name, special[name] ?? empty]))
}
