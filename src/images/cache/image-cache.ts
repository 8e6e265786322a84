import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidArgumentError, ResourceBusyError } from '../../errors.js'
import { imageNotFound } from '../../errors/lookup.js'
import { makeFolders } from '../../files/make-folders.js'
import type { ImageDownload } from '../../model/image-source.js'
import { Claim, heldBy } from '../../registry/claim.js'
import { namesIn } from '../../registry/names-in.js'
import { draftIn } from '../../registry/replace-file.js'
import type { ForeignImage } from '../foreign-disk.js'
import type { ImageConverter } from '../image-converter.js'
import { packingOf, type Packing } from '../packing.js'
import { asMember, dropDrafts, dropFolders, takeAside, takeClaim } from './cache-claims.js'
import { foldersUsing, noteUsers } from './cache-users.js'
import { beginEntry, finishEntry, imageIn, isId, isNothing, readEntry, type CacheEntry } from './cache-entry.js'
import { checksumOf } from './checksum.js'
import { download, partFiles, type DownloadOptions } from './download.js'
import { requireRoomFor } from './free-room.js'
import { shownUrl } from './http-reply.js'
import { unpack } from './unpack.js'

/** How often a process looks whether another one has made what both want. */
const pollMs = 100

type MakeOptions = Pick<DownloadOptions, 'path' | 'signal' | 'onProgress'>

/** The folder with the images of this user, which all processes share. */
function cacheFolder(): string {
  const { AWAITVM_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  if (own !== undefined && own !== '') return join(resolve(own), 'images')
  // By the XDG Base Directory Specification, a relative path is no path.
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.cache')
  return join(base, 'awaitvm', 'images')
}

/**
 * The images that were fetched, unpacked or converted, of all processes of a user. A folder for each is named by the checksum of what
 * was fetched, or stands for a file of this computer as it is; that of a conversion is named after its origin. `processes` has the
 * signs of life of those that make one, so that another one goes on when such a process is killed.
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
    const entry = await this.#obtain(`${checksum.algorithm}-${checksum.digest}`, options, async (folder) => {
      await beginEntry(folder, source)
      const fetched = await download(url, checksum, folder, options)
      const packing = await packingOf(fetched.file)
      const to = join(folder, partFiles.unpacked)
      const made = packing === undefined ? fetched : await unpack({ ...options, from: fetched.file, packing, to })
      await finishEntry(folder, { ...made, source })
    })
    return await this.#withConversion(entry)
  }

  /** The image in a compressed file of this computer, which is unpacked once as long as the file stays as it is. */
  async unpacked(from: string, packing: Packing, options: MakeOptions): Promise<CacheEntry> {
    const id = await idOfFile(from)
    return await this.#obtain(id, options, async (folder) => {
      await beginEntry(folder, from)
      const made = await unpack({ ...options, from, packing, to: join(folder, partFiles.unpacked) })
      if ((await idOfFile(from)) !== id) throw isChanging(from, options.path)
      await finishEntry(folder, { ...made, source: from })
    })
  }

  /**
   * The qcow2 file that an image of another format is converted to: once, as long as that stays as it is. The image may be one of the
   * cache.
   */
  async converted(image: ForeignImage, converter: ImageConverter, options: MakeOptions): Promise<CacheEntry> {
    const { image: from } = image
    const cached = await this.#entryAt(from)
    const source = cached?.source ?? from
    const ofFile = await idOfFile(from)
    return await this.#obtain(conversionOf(cached?.id ?? ofFile), options, async (folder) => {
      await beginEntry(folder, source)
      await requireRoomFor(await converter.measure(image, options.signal), folder)
      // A name of its own: the program of a killed process may still write to that file.
      const file = draftIn(folder)
      await converter.convert(image, file, options)
      if ((await idOfFile(from)) !== ofFile) throw isChanging(from, options.path)
      await finishEntry(folder, { file, bytes: (await stat(file)).size, source })
    })
  }

  /** The files that are removed with an image: its own, and that of its conversion. */
  pathsOf({ id }: Pick<CacheEntry, 'id'>): string[] {
    return [id, conversionOf(id)].map((each) => imageIn(join(this.#root, each)))
  }

  /** Notes that VMs in this folder start from these images: those of the cache are not removed until the VMs are gone. */
  async noteUsers(vms: string, images: readonly string[]): Promise<void> {
    await noteUsers(this.#root, vms, images)
  }

  /** The folders of VMs, of all hosts of this user, in which one starts from an image or its conversion. */
  async foldersUsing(entry: Pick<CacheEntry, 'id'>): Promise<string[]> {
    return await foldersUsing(this.#root, this.pathsOf(entry))
  }

  /** All images, the incomplete ones included. What an image of the cache was converted to is a part of that. */
  async list(): Promise<CacheEntry[]> {
    const ids = (await namesIn(this.#root)).filter(isId).sort()
    const conversions = new Set(ids.map(conversionOf))
    const entries: CacheEntry[] = []
    for (const id of ids.filter((each) => !conversions.has(each))) {
      const entry = await readEntry(join(this.#root, id), id)
      if (entry !== undefined) entries.push(await this.#withConversion(entry))
    }
    return entries
  }

  async #withConversion(entry: CacheEntry): Promise<CacheEntry> {
    const id = conversionOf(entry.id)
    const conversion = await readEntry(join(this.#root, id), id)
    return conversion === undefined ? entry : { ...entry, sizeBytes: entry.sizeBytes + conversion.sizeBytes }
  }

  /**
   * Removes an image, and what it was converted to. Throws if there is no such image, or a process is making one of the two.
   *
   * @param requireUnused throws if one of the files of `pathsOf` is used. It is called again when nobody finds them any more: they come back if a
   *   VM was made of them since the first time.
   */
  async remove(id: string, requireUnused: () => Promise<void>): Promise<void> {
    if (!isId(id) || !(await namesIn(this.#root)).includes(id)) throw imageNotFound(id)
    await asMember(this.#root, async (member) => {
      const folders: string[] = []
      const claims: Claim[] = []
      try {
        for (const folder of [id, conversionOf(id)].map((each) => join(this.#root, each))) {
          const claim = takeClaim(member, folder)
          if (claim === undefined) continue
          if (!(claim instanceof Claim)) throw heldBy(claim, 'the image')
          claims.push(claim)
          folders.push(folder)
        }
        await requireUnused()
        await takeAside(folders, requireUnused)
        await dropFolders(this.#root, folders)
      } finally {
        for (const claim of claims) claim.release()
      }
    })
  }

  /** The complete image that a path leads to. */
  async #entryAt(path: string): Promise<CacheEntry | undefined> {
    const id = basename(dirname(path))
    const folder = join(this.#root, id)
    if (!isId(id) || imageIn(folder) !== path) return undefined
    const entry = await readEntry(folder, id)
    return entry?.isComplete === true ? entry : undefined
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
    return await asMember(this.#root, async (member) => {
      for (;;) {
        signal.throwIfAborted()
        await makeFolders(folder)
        const claim = takeClaim(member, folder)
        if (claim instanceof Claim) {
          try {
            await dropDrafts(claim, folder)
            if ((await look()) === undefined) await this.#make(folder, id, make)
            const made = await look()
            if (made === undefined) throw disturbed(this.#root)
            return made
          } finally {
            claim.release()
          }
        } else if (claim !== undefined) {
          const entry = await readEntry(folder, id)
          onProgress({ phase: 'waiting for a process that makes the image', done: entry?.sizeBytes, unit: 'bytes' })
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
      if (await isNothing(folder, id)) await dropFolders(this.#root, [folder])
      throw error
    }
  }
}

/** The id of what the image with this id is converted to. */
const conversionOf = (id: string): string => `${id}-qcow2`

/** Stands for a file of this computer as it is now. */
async function idOfFile(path: string): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true })
  return `file-${createHash('sha256').update([path, size, mtimeNs, ino].join('\0')).digest('hex')}`
}

const isChanging = (file: string, path: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} names ${file}, which was written to while it was read`,
    hint: 'Try again when it is complete.',
  })

const disturbed = (root: string): ResourceBusyError =>
  new ResourceBusyError({
    reason: `somebody has changed the image in ${root} at the same time`,
    hint: 'Leave the files of the cache to server.images.',
  })
