import { rm } from 'node:fs/promises'
import { runProgram, type ProgramOptions } from './qemu-program.js'

/** A disk's own file, and the image that it only keeps the differences to. */
export interface ImageFile {
  readonly path: string
  readonly backing?: { readonly path: string; readonly format: 'raw' | 'qcow2' } | undefined
}

const mebibyte = 2 ** 20

/** Makes, copies and marks the files of disks that no VM uses at present. Formats are always told, never probed. */
export class DiskImages {
  readonly #img: string

  constructor(img: string) {
    this.#img = img
  }

  /** A blank disk, or one that begins as its backing file. Refuses to overwrite: `path` must be new. */
  async create({ path, backing }: ImageFile, sizeMiB: number | undefined, options?: ProgramOptions): Promise<void> {
    const from = backing === undefined ? [] : ['-b', backing.path, '-F', backing.format]
    const size = sizeMiB === undefined ? [] : [String(sizeMiB * mebibyte)]
    await this.#make(path, ['create', '-q', '-f', 'qcow2', ...from, path, ...size], options)
  }

  /** Copies what a disk holds now, without its snapshots, and without what it has from the backing file of the copy. */
  async copy(from: string, { path, backing }: ImageFile, options: ProgramOptions): Promise<void> {
    const over = backing === undefined ? [] : ['-B', backing.path, '-F', backing.format]
    await this.#make(path, ['convert', '-p', '-f', 'qcow2', '-O', 'qcow2', ...over, from, path], options)
  }

  async createSnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-c', tag, ...qcow2(path)])
  }

  async applySnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-a', tag, ...qcow2(path)])
  }

  async deleteSnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-d', tag, ...qcow2(path)])
  }

  /** The tags of the snapshots in a disk. */
  async snapshotTags(path: string): Promise<string[]> {
    const listing = await runProgram(this.#img, ['snapshot', '-l', ...qcow2(path)])
    return listing.split('\n').flatMap((line) => /^\s*\d+\s+(s-[0-9a-f-]{36})\s/.exec(line)?.[1] ?? [])
  }

  async #make(path: string, args: readonly string[], options?: ProgramOptions): Promise<void> {
    try {
      await runProgram(this.#img, args, options)
    } catch (error) {
      // What there is of it is of no use to anybody.
      await rm(path, { force: true })
      throw error
    }
  }
}

/** A file as what it is, for the commands that would guess. */
const qcow2 = (path: string): string[] => [
  '--image-opts',
  `driver=qcow2,file.driver=file,file.filename=${path.replaceAll(',', ',,')}`,
]
