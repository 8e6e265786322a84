import { inspect } from 'node:util'
import { callDriver, type DriverConnection } from './driver-call.js'
import { validate } from './errors/validate.js'
import type { JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { CachedImage } from './model/cached-image.js'
import { downloadSchema, type ImageDownload } from './model/image-source.js'
import { nonEmpty } from './model/schema.js'
import type * as operation from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import type { JobTarget } from './operations.js'

const itself = <T>(value: T): T => value

/**
 * The images that were fetched, unpacked or converted, in the cache of this computer; reached as `server.images`. All processes of a user share it.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:///srv/vms').unwrap()
 * const folder = 'https://cloud.debian.org/images/cloud/bookworm/latest'
 * const image = await server.images
 *   .fetch({ url: `${folder}/debian-12-nocloud-amd64.raw`, sha512: `${folder}/SHA512SUMS` })
 *   .unwrap()
 * await server.createVm({ name: 'web-1', disks: [{ image: image.path }] }).unwrap()
 *
 * for (const { id, usedBy } of await server.images.list().unwrap()) {
 *   if (usedBy.length === 0) await server.images.remove(id).unwrap()
 * }
 * ```
 */
export class ServerImages implements OperationMethods<'images'> {
  readonly #connection: DriverConnection
  readonly #target: JobTarget

  /** @internal */
  constructor(connection: DriverConnection, target: JobTarget) {
    this.#connection = connection
    this.#target = target
  }

  /** All images in the cache, the incomplete ones included. */
  list(options?: JobOptions): Job<readonly CachedImage[], operation.ListImagesErrors> {
    return callDriver(this.#connection, {
      method: 'images.list',
      operation: 'images.list',
      target: this.#target,
      input: {},
      options,
      map: itself,
    })
  }

  /**
   * Fetches an image into the cache, unless it is there. What was fetched when the job is cancelled or fails stays, and the next fetch
   * goes on from there. A disk whose `image` is a URL does the same by itself.
   */
  fetch(image: ImageDownload, options?: JobOptions): Job<CachedImage, operation.FetchImageErrors> {
    return callDriver(this.#connection, {
      method: 'images.fetch',
      operation: 'images.fetch',
      target: this.#target,
      input: validate(downloadSchema, image, 'image').match((valid) => ({ image: valid }), itself),
      options,
      map: itself,
    })
  }

  /**
   * Removes an image from the cache, with what it was converted to. It ends with a `ResourceBusyError` if a VM of this host or a snapshot
   * starts from the image, or a VM in another directory of this user, or a process is making it.
   */
  remove(id: string, options?: JobOptions): Job<void, operation.RemoveImageErrors> {
    return callDriver(this.#connection, {
      method: 'images.remove',
      operation: 'images.remove',
      target: this.#target,
      input: validate(nonEmpty, id, 'id').match((valid) => ({ id: valid }), itself),
      options,
      map: itself,
    })
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** For people: `ServerImages of embedded:`. */
  toString(): string {
    return `ServerImages of ${this.#target.name}`
  }
}
