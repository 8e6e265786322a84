import { statfs } from 'node:fs/promises'

/** The room that the disk of a folder has for this user, in bytes. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
