import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ProtocolError } from '../../errors.js'
import { errorCode } from '../../errors/native.js'
import { makeFolders } from '../../files/make-folders.js'
import { Claim, type Holder } from '../../registry/claim.js'
import { Membership } from '../../registry/membership.js'
import { namesIn } from '../../registry/names-in.js'
import { NotOwnError } from '../../registry/own-file.js'
import { draftIn, draftPrefix } from '../../registry/replace-file.js'
import { imageIn, isId, isNothing } from './cache-entry.js'

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
      try {
        if (name.startsWith(draftPrefix)) await dropLeft(join(root, name), member)
        else if (isId(name)) await sweep(root, name, member)
      } catch (error) {
        // A folder that is damaged, or another user's, hinders no work on other images.
        if (!isOfThatFolder(error)) throw error
      }
    }
    return await work(member)
  } finally {
    await member.leave()
  }
}

const isOfThatFolder = (error: unknown): boolean =>
  error instanceof NotOwnError ||
  error instanceof ProtocolError ||
  ['EACCES', 'EPERM', 'ENOTDIR'].includes(errorCode(error) ?? '')

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
  if (draftsOf(await namesIn(folder)).length === 0 && !(await isNothing(folder, id))) return
  const claim = takeClaim(member, folder)
  if (!(claim instanceof Claim)) return
  try {
    await dropDrafts(claim, folder)
    if (await isNothing(folder, id)) await dropFolders(root, [folder])
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
 * Takes the images out of claimed folders, so that nobody finds them any more. They come back if the check throws: other processes wait
 * for the claims until then.
 */
export async function takeAside(folders: readonly string[], check: () => Promise<void>): Promise<void> {
  const aside: (readonly [from: string, to: string])[] = []
  try {
    for (const folder of folders) {
      const [from, to] = [imageIn(folder), draftIn(folder)]
      try {
        await rename(from, to)
        aside.push([from, to])
      } catch (error) {
        // The image is not complete.
        if (errorCode(error) !== 'ENOENT') throw error
      }
    }
    await check()
  } catch (error) {
    for (const [from, to] of aside) await rename(to, from)
    throw error
  }
}

/** Removes claimed folders, each in one step: what a killed process leaves behind is no image. */
export async function dropFolders(root: string, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const leaving = draftIn(root)
    await rename(folder, leaving)
    await rm(leaving, { recursive: true, force: true })
  }
}
