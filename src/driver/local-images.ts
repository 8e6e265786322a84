import { checkFile } from '../files/check-file.js'
import { ImageCache } from '../images/cache/image-cache.js'
import { isForeign } from '../images/foreign-disk.js'
import type { ImageConverter } from '../images/image-converter.js'
import { packingOf } from '../images/packing.js'
import type { ProgressUpdate } from '../model/host-job.js'
import { isUrl } from '../model/image-source.js'
import type { DiskSpec } from '../model/vm-config.js'
import type { VmChanges, VmSpec } from '../model/vm-spec.js'
import type { Task } from './task.js'

/** True if a disk is made of an image. Otherwise there is nothing to wait for, and a change keeps its turn among others. */
export const hasNewImages = ({ disks = [] }: VmChanges): boolean =>
  disks.some(({ id, image }) => id === undefined && image !== undefined)

/**
 * The settings with files of this computer for all images of disks: those that are named by a URL are fetched into the cache first,
 * compressed ones unpacked there, and those of other programs converted, if the host has the means to.
 * For the time before the change is sent, since that time may be long and can be interrupted.
 *
 * @param root the parameter with the settings, for errors
 */
export async function withLocalImages<S extends VmSpec | VmChanges>(
  settings: S,
  root: 'spec' | 'changes',
  { task, signal, converter, vms }: Means,
): Promise<S> {
  if (!hasNewImages(settings)) return settings
  const disks: NonNullable<VmChanges['disks']> = settings.disks ?? []
  const cache = new ImageCache()
  const local: (typeof disks)[number][] = []
  for (const [index, disk] of disks.entries()) {
    if (disk.id !== undefined || disk.image === undefined) {
      local.push(disk)
      continue
    }
    const options = {
      path: `${root}.disks[${String(index)}].image`,
      signal,
      onProgress: (update: ProgressUpdate) => {
        task.progress(update)
      },
    }
    const { sha256: _sha256, sha512: _sha512, ...settled } = disk
    const file = await wholeImage(cache, disk, disk.image, options)
    const image = converter === undefined ? file : await usableImage(cache, file, converter, options)
    local.push({ ...settled, image })
  }
  // Before a VM names them, so that no moment is without a note.
  if (vms !== undefined) await noteImageUsers(vms, { disks: local })
  return { ...settings, disks: local }
}

interface Means {
  readonly task: Pick<Task, 'progress'>
  readonly signal: AbortSignal
  readonly converter?: ImageConverter | undefined
  /** The folder in which the host keeps its VMs. */
  readonly vms: string | undefined
}

/** Notes that a VM in this folder has these disks, so that no host removes their images from the cache. */
export const noteImageUsers = (
  vms: string,
  { disks = [] }: { readonly disks?: readonly { readonly image?: string | undefined }[] | undefined },
): Promise<void> =>
  new ImageCache().noteUsers(
    vms,
    disks.flatMap(({ image }) => image ?? []),
  )

type Options = Parameters<ImageCache['unpacked']>[2]

/** The file of an image, without a compression around it. */
async function wholeImage(
  cache: ImageCache,
  { sha256, sha512 }: DiskSpec,
  image: string,
  options: Options,
): Promise<string> {
  if (isUrl(image)) return (await cache.fetch({ url: image, sha256, sha512 }, options)).path
  const packing = await packingOf(image)
  return packing === undefined ? image : (await cache.unpacked(image, packing, options)).path
}

/** The image itself, or what it is converted to. */
async function usableImage(
  cache: ImageCache,
  image: string,
  converter: ImageConverter,
  options: Options,
): Promise<string> {
  await checkFile(image, options.path, converter.driver)
  const { format } = await converter.find(image, options.path)
  return isForeign(format) ? (await cache.converted({ image, format }, converter, options)).path : image
}
