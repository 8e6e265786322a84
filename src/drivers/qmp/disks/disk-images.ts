import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ProtocolError } from '../../../errors.js'
import type { DiskDefinition } from '../definition.js'
import { backingOf, type ImageFile, type QemuOptions } from './disk-chain.js'
import { readQcow2Header } from './qcow2-header.js'
import { runProgram, type ProgramOptions } from '../process/qemu-program.js'

const mebibyte = 2 ** 20

/** A disk of a VM that no QEMU runs. */
export interface DiskAtRest {
  readonly folder: string
  readonly disk: DiskDefinition
  /** The snapshot in it that is meant, and not what it holds now. */
  readonly tag?: string | undefined
}

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

  /** Copies what a disk's own file holds now or held at a snapshot, without its snapshots; the copy has the same backing file. */
  async copy({ folder, disk, tag }: DiskAtRest, { path, backing }: ImageFile, options: ProgramOptions): Promise<void> {
    const over = backing === undefined ? [] : ['-B', backing.path, '-F', backing.format]
    const from = named(join(folder, disk.file), backingOf(disk, folder))
    const at = tag === undefined ? [] : ['-l', `snapshot.name=${tag}`]
    await this.#make(path, ['convert', '-p', ...at, '-O', 'qcow2', ...over, from, path], options)
  }

  /** Makes a disk's own file as large as the disk is to be; one that is larger already stays as it is. */
  async grow(path: string, sizeMiB: number): Promise<void> {
    const bytes = sizeMiB * mebibyte
    if ((await diskBytesOf(path)) < bytes)
      await runProgram(this.#img, ['resize', '-q', named(path, null), String(bytes)])
  }

  /** Cuts off what a disk's own file has beyond the end of the disk, where nobody has written. */
  async cut(path: string, bytes: number): Promise<void> {
    if ((await diskBytesOf(path)) <= bytes) return
    await runProgram(this.#img, ['resize', '-q', '--shrink', named(path, null), String(bytes)])
  }

  /** Whether nothing was ever written to a disk's own file: not even that something is empty. */
  async isUnwritten(path: string): Promise<boolean> {
    const map = await runProgram(this.#img, ['map', '--output=json', named(path, null)])
    return map.includes('"present": false') && !map.includes('"present": true')
  }

  async createSnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-c', tag, named(path, null)])
  }

  async applySnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-a', tag, named(path, null)])
  }

  async deleteSnapshot(path: string, tag: string): Promise<void> {
    await runProgram(this.#img, ['snapshot', '-q', '-d', tag, named(path, null)])
  }

  /** The tags of the snapshots in a disk. */
  async snapshotTags(path: string): Promise<string[]> {
    const listing = await runProgram(this.#img, ['snapshot', '-l', named(path, null)])
    return listing.split('\n').flatMap((line) => /^\s*\d+\s+(s-[0-9a-f-]{36})\s/.exec(line)?.[1] ?? [])
  }

  async #make(path: string, args: readonly string[], options?: ProgramOptions): Promise<void> {
    // The program would make one that others may read, and does not wait until what it has written is on the disk.
    await using file = await open(path, 'wx', 0o600)
    try {
      await runProgram(this.#img, args, options)
      await file.sync()
    } catch (error) {
      // What there is of it is of no use to anybody.
      await rm(path, { force: true })
      throw error
    }
  }
}

async function diskBytesOf(path: string): Promise<number> {
  const file = await open(path, 'r')
  try {
    const header = await readQcow2Header(file)
    if (header !== undefined) return header.diskBytes
  } finally {
    await file.close()
  }
  throw new ProtocolError({ reason: `${path} is not a qcow2 file`, hint: 'Restore it from a backup.' })
}

/** A file as what it is, over what it is told to be, whatever its header says. */
const named = (filename: string, backing: QemuOptions | null): string =>
  `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename }, backing })}`
