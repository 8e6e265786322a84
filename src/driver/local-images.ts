import { ImageCache } from '../images/cache/image-cache.js'
import { packingOf } from '../images/packing.js'
import type { ProgressUpdate } from '../model/host-job.js'
import { isUrl } from '../model/image-source.js'
import type { VmChanges, VmSpec } from '../model/vm-spec.js'
import type { Task } from './task.js'

/** True if a disk is made of an image. Otherwise there is nothing to wait for, and a change keeps its turn among others. */
export const hasNewImages = ({ disks = [] }: VmChanges): boolean =>
  disks.some(({ id, image }) => id === undefined && image !== undefined)

/**
 * The settings with files of this computer for all images of disks: those that are named by a URL are
 * fetched into the cache first, and compressed ones unpacked there.
 * For the time before the change is sent, since that time may be long and can be interrupted.
 *
 * @param root the parameter with the settings, for errors
 */
export async function withLocalImages<S extends VmSpec | VmChanges>(
  settings: S,
  root: 'spec' | 'changes',
  { task, signal }: { readonly task: Pick<Task, 'progress'>; readonly signal: AbortSignal },
): Promise<S> {
  if (!hasNewImages(settings)) return settings
  const disks: NonNullable<VmChanges['disks']> = settings.disks ?? []
  const cache = new ImageCache()
  const local: (typeof disks)[number][] = []
  for (const [index, disk] of disks.entries()) {
    const { image, id } = disk
    if (id !== undefined || image === undefined) {
      local.push(disk)
      continue
    }
    const { sha256, sha512, ...settled } = disk
    const options = {
      path: `${root}.disks[${String(index)}].image`,
      signal,
      onProgress: (update: ProgressUpdate) => {
        task.progress(update)
      },
    }
    if (isUrl(image)) {
      const { path } = await cache.fetch({ url: image, sha256, sha512 }, options)
      local.push({ ...settled, image: path })
      continue
    }
    const packing = await packingOf(image)
    local.push(
      packing === undefined ? disk : { ...settled, image: (await cache.unpacked(image, packing, options)).path },
    )
  }
  return { ...settings, disks: local }
}
