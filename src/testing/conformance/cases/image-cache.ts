import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import type { ImageDownload } from '../../../model/image-source.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'

/** A server on this machine with an image that nobody else has: the cases use the cache of the user who runs them. */
async function withImage(use: (image: ImageDownload) => Promise<void>): Promise<void> {
  const content = randomBytes(64 * 1024)
  const server = createServer((_request, response) => response.end(content)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const sha256 = createHash('sha256').update(content).digest('hex')
    await use({ url: `http://127.0.0.1:${String(port)}/disk.raw`, sha256 })
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

export const imageCache: Cases = ({ promises }) => {
  promises(
    'an image that is fetched is listed until it is removed',
    ['images.fetch', 'images.list', 'images.remove'],
    async ({ server: { images } }) => {
      await withImage(async (image) => {
        const fetched = await images.fetch(image).unwrap()
        try {
          expect(fetched).toMatchObject({ source: image.url, isComplete: true, usedBy: [] })
          expect(await images.fetch(image).unwrap()).toEqual(fetched)
          expect(await images.list().unwrap()).toContainEqual(fetched)
        } finally {
          await images.remove(fetched.id).unwrap()
        }
        expect((await images.list().unwrap()).map(({ id }) => id)).not.toContain(fetched.id)
        const error = await failureOf(images.remove(fetched.id), 'INVALID_ARGUMENT')
        expect(error.path).toBe('id')
      })
    },
  )

  promises('an image without a checksum is not fetched', ['images.fetch'], async ({ server: { images } }) => {
    const error = await failureOf(images.fetch({ url: 'https://example.org/disk.raw' }), 'INVALID_ARGUMENT')
    expect(error.path).toBe('image')
  })
}
