import { createHash } from 'node:crypto'
import { rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidArgumentError, ResourceBusyError } from '../../errors.js'
import { imageNotFound } from '../../errors/lookup.js'
import { errorCode } from '../../errors/native.js'
import { makeFolders } from '../../files/make-folders.js'
import type { ImageDownload } from '../../model/image-source.js'
import { Claim, heldBy, type Holder } from '../../registry/claim.js'
import { Membership } from '../../registry/membership.js'
import { namesIn } from '../../registry/names-in.js'
import { draftIn, draftPrefix } from '../../registry/replace-file.js'
import { packingOf, type Packing } from '../packing.js'
import { beginEntry, finishEntry, readEntry, type CacheEntry } from './cache-entry.js'
import { checksumOf } from './checksum.js'
import { download, partFiles, type DownloadOptions } from './download.js'
import { shownUrl } from './http-reply.js'
import { unpack } from './unpack.js'

/** How often a process looks whether another one has fetched what both want. */
const pollMs = 100

/** The folder with the images of this user, which all processes share. */
function cacheFolder(): string {
  const { AWAITVM_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  if (own !== undefined && own !== '') return join(resolve(own), 'images')
  // By the XDG Base Directory Specification, a relative path is no path.
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.cache')
  return join(base, 'awaitvm', 'images')
}

/**
 * The images that were fetched, of all processes of a user. A folder for each is named by its checksum; `processes` has the signs of
 * life of those that fetch, so that another one goes on when such a process is killed.
 */
export class ImageCache {
  readonly #root: string

  constructor(root = cacheFolder()) {
    this.#root = root
  }

  /** The image of a URL, which is fetched if it is not there. Of several processes that want it, one fetches. */
  async fetch(image: ImageDownload, options: DownloadOptions): Promise<CacheEntry> {
    const checksum = await checksumOf(image, options)
    const url = new URL(image.url)
    const source = shownUrl(url)
    return await this.#obtain(`${checksum.algorithm}-${checksum.digest}`, options, async (folder) => {
      await beginEntry(folder, source)
      const fetched = await download(url, checksum, folder, options)
      const packing = await packingOf(fetched.file)
      const to = join(folder, partFiles.unpacked)
      const made = packing === undefined ? fetched : await unpack({ ...options, from: fetched.file, packing, to })
      await finishEntry(folder, { ...made, source })
    })
  }

  /** The image in a compressed file of this computer, which is unpacked once as long as the file stays as it is. */
  async unpacked(
    from: string,
    packing: Packing,
    options: Pick<DownloadOptions, 'path' | 'signal' | 'onProgress'>,
  ): Promise<CacheEntry> {
    const stamp = await stampOf(from)
    return await this.#obtain(`file-${stamp}`, options, async (folder) => {
      await beginEntry(folder, from)
      const made = await unpack({ ...options, from, packing, to: join(folder, partFiles.unpacked) })
      if ((await stampOf(from)) !== stamp) throw isChanging(from, options.path)
      await finishEntry(folder, { ...made, source: from })
    })
  }

  /** All images, the incomplete ones included. */
  async list(): Promise<CacheEntry[]> {
    const entries: CacheEntry[] = []
    for (const id of (await namesIn(this.#root)).filter(isId).sort()) {
      const entry = await readEntry(join(this.#root, id), id)
      if (entry !== undefined) entries.push(entry)
    }
    return entries
  }

  /** Removes an image. Throws if there is no such image, or a process is fetching it. */
  async remove(id: string): Promise<void> {
    if (!isId(id) || !(await namesIn(this.#root)).includes(id)) throw imageNotFound(id)
    await this.#asMember(async (member) => {
      const folder = join(this.#root, id)
      const claim = take(member, folder)
      if (claim === undefined) throw imageNotFound(id)
      if (!(claim instanceof Claim)) throw heldBy(claim, 'the image')
      try {
        await this.#drop(folder)
      } finally {
        claim.release()
      }
    })
  }

  /** The image of an id, which `make` makes if it is not there. */
  async #obtain(
    id: string,
    { signal, onProgress }: Pick<DownloadOptions, 'signal' | 'onProgress'>,
    make: (folder: string) => Promise<void>,
  ): Promise<CacheEntry> {
    const folder = join(this.#root, id)
    const look = async (): Promise<CacheEntry | undefined> => {
      const entry = await readEntry(folder, id)
      return entry?.isComplete === true ? entry : undefined
    }
    const present = await look()
    if (present !== undefined) return present
    return await this.#asMember(async (member) => {
      for (;;) {
        signal.throwIfAborted()
        await makeFolders(folder)
        const claim = take(member, folder)
        if (claim instanceof Claim) {
          try {
            const drafts = claim.found.filter((name) => name.startsWith(draftPrefix))
            for (const draft of drafts) await rm(join(folder, draft), { force: true })
            if ((await look()) === undefined) await this.#make(folder, id, make)
            const made = await look()
            if (made === undefined) throw disturbed(this.#root)
            return made
          } finally {
            claim.release()
          }
        } else if (claim !== undefined) {
          const entry = await readEntry(folder, id)
          onProgress({ phase: 'waiting for a process that fetches the image', done: entry?.sizeBytes, unit: 'bytes' })
          await delay(pollMs, undefined, { signal })
        }
      }
    })
  }

  /** Makes an image. If that fails and nothing of it is left to go on from, nothing stays. */
  async #make(folder: string, id: string, make: (folder: string) => Promise<void>): Promise<void> {
    try {
      await make(folder)
    } catch (error) {
      if (((await readEntry(folder, id))?.sizeBytes ?? 0) === 0) await this.#drop(folder)
      throw error
    }
  }

  /** Removes a folder in one step: what a killed process leaves behind is no image. */
  async #drop(folder: string): Promise<void> {
    const leaving = draftIn(this.#root)
    await rename(folder, leaving)
    await rm(leaving, { recursive: true, force: true })
  }

  /** Does work that needs claims, with a sign of life that other processes see. */
  async #asMember<T>(work: (member: Membership) => Promise<T>): Promise<T> {
    await makeFolders(this.#root)
    const left = (await namesIn(this.#root)).filter((name) => name.startsWith(draftPrefix))
    for (const name of left) await rm(join(this.#root, name), { recursive: true, force: true })
    const member = new Membership(this.#root)
    await member.join()
    try {
      return await work(member)
    } finally {
      await member.leave()
    }
  }
}

const isId = (name: string): boolean => /^(?:sha256|file)-[0-9a-f]{64}$|^sha512-[0-9a-f]{128}$/.test(name)

/** Stands for a file as it is now. */
async function stampOf(path: string): Promise<string> {
  const { size, mtimeNs } = await stat(path, { bigint: true })
  return createHash('sha256').update([path, size, mtimeNs].join('\0')).digest('hex')
}

const isChanging = (file: string, path: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} names ${file}, which was written to while it was unpacked`,
    hint: 'Try again when it is complete.',
  })

/** The claim on an image, or its holder; `undefined` if the image was just removed. */
function take(member: Membership, folder: string): Claim | Holder | undefined {
  try {
    return Claim.take(member, folder, 'stopped')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

const disturbed = (root: string): ResourceBusyError =>
  new ResourceBusyError({
    reason: `somebody has changed the image in ${root} at the same time`,
    hint: 'Leave the files of the cache to server.images.',
  })
