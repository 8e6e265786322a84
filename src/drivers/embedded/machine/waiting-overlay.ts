import { errorCode } from '../../../errors/native.js'
import { DiskError } from './disk-error.js'
import type { Overlay } from './memory-overlay.js'

const noRoomCodes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT'])

/**
 * An overlay in a file that keeps the blocks in memory for which its file system has no room. From then on every write waits
 * until a flush, so that the file gets the blocks in the order of the guest.
 */
export class WaitingOverlay implements Overlay {
  readonly #path: string
  readonly #file: Overlay
  readonly #waiting = new Map<number, Uint8Array>()
  #noRoom: DiskError | undefined

  constructor(path: string, file: Overlay) {
    this.#path = path
    this.#file = file
  }

  /** Why blocks wait; absent if none does. */
  get noRoom(): DiskError | undefined {
    return this.#noRoom
  }

  has(block: number): boolean {
    return this.#waiting.has(block) || this.#file.has(block)
  }

  read(block: number, offset: number, target: Uint8Array): void {
    const content = this.#waiting.get(block)
    if (content === undefined) this.#file.read(block, offset, target)
    else target.set(content.subarray(offset, offset + target.byteLength))
  }

  write(block: number, content: Uint8Array): void {
    if (this.#noRoom === undefined) {
      try {
        this.#file.write(block, content)
        return
      } catch (error) {
        if (!noRoomCodes.has(errorCode(error))) throw error
        this.#noRoom = this.#refused(error)
      }
    }
    this.#waiting.delete(block)
    this.#waiting.set(block, Uint8Array.from(content))
  }

  /** @throws DiskError if a block still can't be written; it goes on waiting, with those after it */
  flush(): void {
    for (const [block, content] of this.#waiting) {
      try {
        this.#file.write(block, content)
      } catch (error) {
        throw this.#refused(error)
      }
      this.#waiting.delete(block)
    }
    this.#noRoom = undefined
  }

  close(): void {
    this.#file.close()
  }

  #refused(cause: unknown): DiskError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new DiskError(this.#path, `can't take what the guest has written: ${reason}`, { cause })
  }
}
