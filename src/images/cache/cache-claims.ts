import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../errors/native.js'
import { makeFolders } from '../../files/make-folders.js'
import { Claim, type Holder } from '../../registry/claim.js'
import { Membership } from '../../registry/membership.js'
import { namesIn } from '../../registry/names-in.js'
import { draftIn, draftPrefix } from '../../registry/replace-file.js'
import { isId, readEntry } from './cache-entry.js'

/**
 * Does work that needs claims on images, with a sign of life that other processes see. First it removes what killed processes have left
 * and nothing can go on from.
 */
export async function asMember<T>(root: string, work: (member: Membership) => Promise<T>): Promise<T> {
  await makeFolders(root)
  const member = new Membership(root)
  await member.join()
  try {
    for (const name of await namesIn(root)) {
      if (name.startsWith(draftPrefix)) await dropLeft(join(root, name), member)
      else if (isId(name)) await sweep(root, name, member)
    }
    return await work(member)
  } finally {
    await member.leave()
  }
}

/** Removes what is left of an image that was being removed, unless a process still is about to. */
async function dropLeft(folder: string, member: Membership): Promise<void> {
  try {
    if (Claim.holder(member, folder) !== undefined) return
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  }
  await rm(folder, { recursive: true, force: true })
}

/** Removes drafts from the folder of an image, and the folder if nothing of the image is there, unless a process is making it. */
async function sweep(root: string, id: string, member: Membership): Promise<void> {
  const folder = join(root, id)
  const isEmpty = async (): Promise<boolean> => ((await readEntry(folder, id))?.sizeBytes ?? 0) === 0
  if (draftsOf(await namesIn(folder)).length === 0 && !(await isEmpty())) return
  const claim = takeClaim(member, folder)
  if (!(claim instanceof Claim)) return
  try {
    await dropDrafts(claim, folder)
    if (await isEmpty()) await dropFolders(root, [folder])
  } finally {
    claim.release()
  }
}

const draftsOf = (names: readonly string[]): string[] => names.filter((name) => name.startsWith(draftPrefix))

/** Removes the drafts that killed processes have left in a folder, or their programs, which may end later. */
export async function dropDrafts({ found }: Claim, folder: string): Promise<void> {
  for (const draft of draftsOf(found)) await rm(join(folder, draft), { force: true })
}

/** The claim on an image, or its holder; `undefined` if the image was just removed. */
export function takeClaim(member: Membership, folder: string): Claim | Holder | undefined {
  try {
    return Claim.take(member, folder, 'stopped')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Removes claimed folders, each in one step: what a killed process leaves behind is no image.
 *
 * @param check called before they are lost: if it throws, they come back
 */
export async function dropFolders(
  root: string,
  folders: readonly string[],
  check?: () => Promise<void>,
): Promise<void> {
  const leaving: (readonly [from: string, to: string])[] = []
  try {
    for (const folder of folders) {
      const to = draftIn(root)
      await rename(folder, to)
      leaving.push([folder, to])
    }
    await check?.()
  } catch (error) {
    for (const [from, to] of leaving) await rename(to, from)
    throw error
  }
  for (const [, to] of leaving) await rm(to, { recursive: true, force: true })
}
