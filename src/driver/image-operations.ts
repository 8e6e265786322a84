import { imageIsUsed } from '../errors/lookup.js'
import { startsFrom, type RecordedImages } from '../files/image-record.js'
import { ImageCache } from '../images/cache/image-cache.js'
import type { CachedImage } from '../model/cached-image.js'
import { DamagedVm } from '../registry/damaged-vm.js'
import type { DriverOperations } from './driver.js'
import type { HostWork } from './host-work.js'

/** A VM whose images are on this computer. */
interface VmWithImages {
  readonly name: string
  readonly hardware: RecordedImages
  readonly snapshots: readonly { readonly hardware: RecordedImages }[]
}

/** The operations on the cache of images, for a host on this computer. */
export function imageOperations(
  work: HostWork,
  store: { list(): Promise<readonly (VmWithImages | DamagedVm)[]> },
): Pick<DriverOperations, 'images.list' | 'images.fetch' | 'images.remove'> {
  const cache = new ImageCache()

  const users = async (): Promise<(entry: Pick<CachedImage, 'id'>) => string[]> => {
    const all = await store.list()
    return (entry) => {
      const paths = cache.pathsOf(entry)
      return all
        .filter((vm): vm is VmWithImages => !(vm instanceof DamagedVm))
        .filter(({ hardware, snapshots }) =>
          [hardware, ...snapshots.map((snapshot) => snapshot.hardware)].some((settings) =>
            paths.some((path) => startsFrom(settings, path)),
          ),
        )
        .map(({ name }) => name)
    }
  }

  return {
    'images.list': (_input, task) =>
      work.query(task, async (): Promise<CachedImage[]> => {
        const usersOf = await users()
        return (await cache.list()).map((entry) => ({ ...entry, usedBy: usersOf(entry) }))
      }),

    'images.fetch': ({ image }, task) =>
      work.change(task, async ({ signal }) => {
        const onProgress: typeof task.progress = (update) => {
          task.progress(update)
        }
        const entry = await cache.fetch(image, { path: 'image.url', signal, onProgress })
        return { ...entry, usedBy: (await users())(entry) }
      }),

    'images.remove': ({ id }, task) =>
      work.change(task, async ({ send }) => {
        send()
        await cache.remove(id, async () => {
          const usedBy = (await users())({ id })
          if (usedBy.length > 0) throw imageIsUsed(usedBy)
          const folders = await cache.foldersUsing({ id })
          if (folders.length > 0) throw imageIsUsed(folders, 'VMs in')
        })
      }),
  }
}
