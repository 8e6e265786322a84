import { ImageCache } from '../images/cache/image-cache.js'
import { isUrl } from '../model/image-source.js'
import type { VmChanges, VmSpec } from '../model/vm-spec.js'
import type { Task } from './task.js'

/** True if a disk is made of an image. Otherwise there is nothing to wait for, and a change keeps its turn among others. */
export const hasNewImages = ({ disks = [] }: VmChanges): boolean =>
  disks.some(({ id, image }) => id === undefined && image !== undefined)

/**
 * The settings with files of this computer for all images of disks: those that are named by a URL are fetched into the cache first.
 * For the time before the change is sent, since that time may be long and can be interrupted.
 *
 * @param root the parameter with the settings, for errors
 */
export async function withLocalImages<S extends VmSpec | VmChanges>(
  settings: S,
  root: 'spec' | 'changes',
  { task, signal }: { readonly task: Pick<Task, 'progress'>; readonly signal: AbortSignal },
): Promise<S> {
  const disks: VmChanges['disks'] = settings.disks
  if (disks?.some(({ image }) => image !== undefined && isUrl(image)) !== true) return settings
  const cache = new ImageCache()
  const local: (typeof disks)[number][] = []
  for (const [index, disk] of disks.entries()) {
    const { image: url } = disk
    if (url === undefined || !isUrl(url)) {
      local.push(disk)
      continue
    }
    const { sha256, sha512, ...settled } = { sha256: undefined, sha512: undefined, ...disk }
    const { path } = await cache.fetch(
      { url, sha256, sha512 },
      {
        path: `${root}.disks[${String(index)}].image`,
        signal,
        onProgress: (update) => {
          task.progress(update)
        },
      },
    )
    local.push({ ...settled, image: path })
  }
  return { ...settings, disks: local }
}
