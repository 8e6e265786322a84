import { createHash } from 'node:crypto'
import { imageIsUsed, imageNotFound } from '../../errors/lookup.js'
import { shownUrl } from '../../images/cache/http-reply.js'
import type { CachedImage } from '../../model/cached-image.js'
import { isUrl, type ImageDownload } from '../../model/image-source.js'
import type { DriverOperation } from '../../operations.js'
import type { Actions } from './action.js'
import type { SimulatedHost } from './host.js'

/** The size that every image is told to have. */
const sizeBytes = 2 ** 30

/** Operations on a cache of which nothing is on any disk: no server is asked, and any checksum is right. */
export const imageActions: Actions<Extract<DriverOperation, `images.${string}`>> = {
  'images.list': (host, run) => run.look(() => Array.from(host.images, ([id, source]) => imageOf(host, id, source))),

  'images.fetch': (host, run, { image }) =>
    run.look(() => {
      const id = idOf(image)
      const source = host.images.get(id) ?? shownUrl(image.url)
      host.images.set(id, source)
      return imageOf(host, id, source)
    }),

  'images.remove': (host, run, { id }) =>
    run.look(() => {
      const source = host.images.get(id)
      if (source === undefined) throw imageNotFound(id)
      const { usedBy } = imageOf(host, id, source)
      if (usedBy.length > 0) throw imageIsUsed(usedBy)
      host.images.delete(id)
    }),
}

function idOf({ url, sha256, sha512 }: ImageDownload): string {
  const algorithm = sha512 === undefined ? 'sha256' : 'sha512'
  const given = sha512 ?? sha256 ?? url
  const digest = isUrl(given) ? createHash(algorithm).update(url).digest('hex') : given.toLowerCase()
  return `${algorithm}-${digest}`
}

function imageOf({ store }: SimulatedHost, id: string, source: string): CachedImage {
  const path = `/var/cache/awaitvm/images/${id}/image`
  const users = [...store.list()].filter(({ config }) => config.disks.some(({ image }) => image === path))
  return { id, path, source, sizeBytes, isComplete: true, usedBy: users.map(({ name }) => name) }
}
