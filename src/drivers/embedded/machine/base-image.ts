import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { DiskError } from './disk-error.js'

/** A raw image file that is only ever read. */
export class BaseImage {
  readonly path: string
  readonly size: number
  #file: number | undefined

  constructor(path: string) {
    this.path = path
    const file = open(path)
    const stat = fstatSync(file)
    if (!stat.isFile()) {
      closeSync(file)
      throw new DiskError(path, 'is not a regular file')
    }
    this.#file = file
    this.size = stat.size
  }

  /** Fills `target` from `position`. Bytes past the end of the image are zeros. */
  read(position: number, target: Uint8Array): void {
    if (this.#file === undefined) throw new DiskError(this.path, 'is closed')
    const wanted = Math.max(0, Math.min(target.byteLength, this.size - position))
    let done = 0
    while (done < wanted) {
      const count = readSync(this.#file, target, done, wanted - done, position + done)
      if (count === 0) throw new DiskError(this.path, 'was cut off while a machine was using it')
      done += count
    }
    target.fill(0, wanted)
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}

const open = (path: string): number => {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw new DiskError(path, `cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}
