import { randomUUID } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode } from '../errors/native.js'
import { writeAll } from '../files/write-all.js'

/** Prefix of files that are not complete yet. The next process that claims the folder removes those that were left behind. */
export const draftPrefix = 'draft-'

export const draftIn = (folder: string): string => join(folder, `${draftPrefix}${randomUUID()}`)

/** A small file that is written under a temporary name. */
export interface Draft {
  /** Moves it to its own name, atomically. */
  keep(): void
  /** Removes it, unless it was kept. */
  drop(): void
}

export function draftOf(path: string, content: string): Draft {
  const draft = draftIn(dirname(path))
  const drop = (): void => {
    rmSync(draft, { force: true })
  }
  try {
    // Synchronous because it is small: see `readOwnFile`.
    writeFileSync(draft, content, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    drop()
    throw error
  }
  const keep = (): void => {
    renameSync(draft, path)
  }
  return { keep, drop }
}

/** Replaces a small file atomically: if the process dies, the file is the old or the new one, whole. */
export function replaceSmallFile(path: string, content: string): void {
  const draft = draftOf(path, content)
  try {
    draft.keep()
  } catch (error) {
    draft.drop()
    throw error
  }
}

/**
 * Replaces a file atomically, also if the machine loses power. It waits for the disk twice: for the content and for the name. Use
 * it for the definition and the saved memory of a VM. Files about a process, such as `run.json` and records of jobs, don't need
 * it: without power, the process is gone as well.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = draftIn(dirname(path))
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      // Those of `writeFile` take 512 KiB at a time.
      await writeAll(file, typeof content === 'string' ? Buffer.from(content) : content, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** Errors of fsync(2) for a folder of a file system that flushes names by itself, or never. */
const noSync: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** Flushes the names in a folder to disk, if its file system can: until then, a loss of power may undo a rename. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows can't open folders; it flushes their names by itself.
  if (process.platform === 'win32') return
  const file = await open(folder, 'r')
  try {
    await file.sync()
  } catch (error) {
    if (!noSync.has(errorCode(error))) throw error
  } finally {
    await file.close()
  }
}
