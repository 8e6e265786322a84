import { randomUUID } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** What every file that is not yet whole is called: whoever has the claim on the folder removes those left behind. */
export const draftPrefix = 'draft-'

export const draftIn = (folder: string): string => join(folder, `${draftPrefix}${randomUUID()}`)

/** A small file that is written, and does not count yet. */
export interface Draft {
  /** Makes it count, in one step. */
  keep(): void
  /** Removes it, where it does not count yet. */
  drop(): void
}

export function draftOf(path: string, content: string): Draft {
  const draft = draftIn(dirname(path))
  const drop = (): void => {
    rmSync(draft, { force: true })
  }
  try {
    // Small as it is, it is written at once: see `readOwnFile`.
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

/** Replaces a small file in one step: whenever the process dies, it is the old one or the new one, whole. */
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
 * Replaces a file in one step, also where the machine dies over it; at the price of waiting for the disk, first for the content
 * and then for the name. This is for what a VM is made of: its definition and its saved memory. What only tells of a process,
 * as `run.json` and the records of jobs do, is not worth it: with the power, the process has gone, too.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = draftIn(dirname(path))
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(content)
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

/** Has the names in a folder written to the disk itself: until then, a power cut may take a rename back. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows opens no folders, and keeps their names by itself.
  if (process.platform === 'win32') return
  const file = await open(folder, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
