import { lstat, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../../errors/native.js'
import type { CachedImage } from '../../model/cached-image.js'
import { replaceFile, syncFolder } from '../../registry/replace-file.js'
import { readRecord } from './cache-record.js'
import { partFiles } from './download.js'

/** What the cache itself knows of an image. */
export type CacheEntry = Omit<CachedImage, 'usedBy'>

/*
 * A folder of the cache has:
 *
 * image       the image, under this name once it is complete and checked
 * image.json  where it is from
 * part        what was fetched of it so far, with part.json
 * unpacked    what was unpacked of it so far
 * draft-*     what was converted of it so far
 * claim       the process that makes or removes it; see Claim
 */
const files = { image: 'image', record: 'image.json' } as const

/**
 * The time of change of every image in the cache. VMs know an image by its path, its size and this time, so that one that is fetched
 * again is the same image to them, and one that somebody wrote to is not.
 */
const changedAt = new Date('2000-01-01T00:00:00Z')

/** True for the name of an image's folder: a checksum, or what stands for a file; `-qcow2` for what one was converted to. */
export const isId = (name: string): boolean =>
  /^(?:(?:sha256|file)-[0-9a-f]{64}|sha512-[0-9a-f]{128})(?:-qcow2)?$/.test(name)

/** The image in a folder of the cache. */
export const imageIn = (folder: string): string => join(folder, files.image)

const recordSchema = v.object({ source: v.string(), sizeBytes: v.number() })

/** The image in a folder of the cache, complete or not; `undefined` if there is nothing of it. */
export async function readEntry(folder: string, id: string): Promise<CacheEntry | undefined> {
  const path = imageIn(folder)
  const record = readRecord(join(folder, files.record), recordSchema)
  if (record === undefined) return undefined
  const image = await statsOf(path)
  const isComplete = image?.size === record.sizeBytes && image.mtimeMs === changedAt.getTime()
  const present = isComplete ? image : await statsOf(join(folder, partFiles.content))
  return { id, path, source: record.source, sizeBytes: present?.size ?? 0, isComplete }
}

/** True if nothing of the image is there: no part of it, and no file that VMs may start from, complete by its record or not. */
export const isNothing = async (folder: string, id: string): Promise<boolean> =>
  (await statsOf(imageIn(folder))) === undefined && ((await readEntry(folder, id))?.sizeBytes ?? 0) === 0

/** Notes where an image is from, before anything of it is there. */
export const beginEntry = (folder: string, source: string): Promise<void> =>
  writeRecord(folder, { source, sizeBytes: 0 })

/** Gives a complete and checked file the name of the image, in one step. */
export async function finishEntry(
  folder: string,
  made: { readonly file: string; readonly bytes: number; readonly source: string },
): Promise<void> {
  await writeRecord(folder, { source: made.source, sizeBytes: made.bytes })
  const file = await open(made.file, 'r+')
  try {
    await file.utimes(changedAt, changedAt)
    // Disks only read it, and nobody is to write to it by mistake.
    await file.chmod(0o400)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(made.file, imageIn(folder))
  await syncFolder(folder)
  for (const left of Object.values(partFiles)) await rm(join(folder, left), { force: true })
}

const writeRecord = (folder: string, record: v.InferOutput<typeof recordSchema>): Promise<void> =>
  replaceFile(join(folder, files.record), JSON.stringify(record))

async function statsOf(path: string): Promise<{ readonly size: number; readonly mtimeMs: number } | undefined> {
  try {
    const stats = await lstat(path)
    return stats.isFile() ? stats : undefined
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
