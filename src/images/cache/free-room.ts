import { InsufficientResourcesError } from '../../errors.js'
import { freeBytes } from '../../files/free-bytes.js'

/** What is left free for the host and the VMs on the same disk. */
const reserveBytes = 256 * 2 ** 20
/** How much is written between two looks at the disk. */
const lookEveryBytes = 64 * 2 ** 20

/** Throws unless the disk of a folder has room for so many bytes. */
export async function requireRoomFor(bytes: number, folder: string): Promise<void> {
  const free = await freeBytes(folder)
  if (bytes <= free) return
  throw new InsufficientResourcesError({
    reason: `the image needs ${String(bytes)} bytes, and the disk of ${folder} has room for ${String(free)}`,
    hint: 'Make room on the disk, remove images with server.images.remove(), or set AWAITVM_CACHE to a folder on another disk.',
  })
}

/** Watches a file whose length nobody tells, so that it does not fill the disk. */
export class RoomGuard {
  readonly #folder: string
  #unseen = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Call it before bytes are written. */
  async add(bytes: number): Promise<void> {
    this.#unseen += bytes
    if (this.#unseen < lookEveryBytes) return
    await requireRoomFor(this.#unseen + reserveBytes, this.#folder)
    this.#unseen = 0
  }
}
