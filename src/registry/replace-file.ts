import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeSmallFile } from './small-file.js'

/** What every file that is not yet whole is called: whoever has the claim on the folder removes those left behind. */
export const draftPrefix = 'draft-'

export const draftIn = (folder: string): string => join(folder, `${draftPrefix}${randomUUID()}`)

/** A file that is written, and does not count yet. */
export interface Draft {
  /** Makes it count, in one step. */
  keep(): Promise<void>
  /** Removes it, where it does not count yet. */
  drop(): Promise<void>
}

/** @param isDurable whether it outlives the machine's death too, at the price of waiting for the disk */
export async function draftOf(path: string, content: string | Uint8Array, isDurable: boolean): Promise<Draft> {
  const draft = draftIn(dirname(path))
  const drop = (): Promise<void> => rm(draft, { force: true })
  try {
    await (isDurable ? writeDurably(draft, content) : writeSmallFile(draft, content))
  } catch (error) {
    await drop()
    throw error
  }
  return { keep: () => rename(draft, path), drop }
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Replaces a file in one step: whenever the process dies, it is the old one or the new one, whole.
 * @param isDurable whether that holds for the machine's death too, at the price of waiting for the disk
 */
export async function replaceFile(path: string, content: string | Uint8Array, isDurable: boolean): Promise<void> {
  const draft = await draftOf(path, content, isDurable)
  try {
    await draft.keep()
  } catch (error) {
    await draft.drop()
    throw error
  }
}
