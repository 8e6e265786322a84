import { open, rm } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import * as v from 'valibot'
import type { ForeignFormat, ForeignImage } from '../../../images/foreign-disk.js'
import type { DiskDefinition } from '../definition.js'
import { backingOf, type ImageFile, type KnownImages, type QemuOptions } from './disk-chain.js'
import { makeOverlayOn } from './empty-overlay.js'
import { diskBytesOf } from './own-qcow2.js'
import { runProgram, type ProgramOptions } from '../process/qemu-program.js'

const mebibyte = 2 ** 20

/** A disk of a VM at rest. */
export interface DiskAtRest {
  readonly folder: string
  readonly disk: DiskDefinition
  readonly known: KnownImages
  /** The snapshot to read, also while a QEMU writes to the disk; the present content if absent. */
  readonly tag?: string | undefined
}

/** QEMU's drivers of other formats. */
const foreignDrivers: Readonly<Record<ForeignFormat, QemuOptions>> = {
  vmdk: { driver: 'vmdk' },
  vdi: { driver: 'vdi' },
  // Otherwise QEMU takes the size from the geometry, which is too small for some disks of other programs.
  vhd: { driver: 'vpc', force_size_calc: 'current_size' },
  vhdx: { driver: 'vhdx' },
  qed: { driver: 'qed' },
}

/** Creates, copies and snapshots the files of disks that no QEMU uses. Formats are always given, never probed. */
export class DiskImages {
  readonly #img: string

  constructor(img: string) {
    this.#img = img
  }

  /** Creates a blank disk, an overlay on a backing file, or a copy of a template. Never overwrites: `path` must be new. */
  async create(
    { path, backing, template }: ImageFile,
    sizeMiB: number | undefined,
    options?: ProgramOptions,
  ): Promise<void> {
    if (template !== undefined) {
      await this.#make(path, ['convert', '-f', 'raw', '-O', 'qcow2', template, path], options)
      return
    }
    if (backing !== undefined && !isAbsolute(backing.path)) {
      // A base of awaitvm's own. qemu-img would take most of the time of a linked clone.
      const bytes = sizeMiB === undefined ? await diskBytesOf(join(dirname(path), backing.path)) : sizeMiB * mebibyte
      await makeOverlayOn(path, backing.path, bytes)
      return
    }
    const from = backing === undefined ? [] : ['-b', backing.path, '-F', backing.format]
    const size = sizeMiB === undefined ? [] : [String(sizeMiB * mebibyte)]
    await this.#make(path, ['create', '-q', '-f', 'qcow2', ...from, path, ...size], options)
  }

  /** Copies the content of a disk's own file, or of a snapshot in it, but no snapshots; the copy has the same backing file. */
  async copy(
    { folder, disk, known, tag }: DiskAtRest,
    { path, backing }: ImageFile,
    options: ProgramOptions,
  ): Promise<void> {
    const over = backing === undefined ? [] : ['-B', backing.path, '-F', backing.format]
    const from = named(join(folder, disk.file), backingOf(disk, known, folder))
    // A snapshot does not change, whatever a QEMU that has the file writes.
    const at = tag === undefined ? [] : ['-U', '-l', `snapshot.name=${tag}`]
    await this.#make(path, ['convert', '-p', ...at, '-O', 'qcow2', ...over, from, path], options)
  }

  /**
   * Writes the content of a disk, with what its backing files hold, over a file that exists, and does not sync that.
   * @param args format and options of the file
   */
  async export(
    { folder, disk, known }: DiskAtRest,
    path: string,
    args: readonly string[],
    options: ProgramOptions,
  ): Promise<void> {
    const from = named(join(folder, disk.file), backingOf(disk, known, folder))
    await runProgram(this.#img, ['convert', '-p', ...args, from, path], options)
  }

  /** Makes a qcow2 file of an image of another format. */
  async convert(image: ForeignImage, path: string, options: ProgramOptions): Promise<void> {
    await this.#make(path, ['convert', '-p', '-O', 'qcow2', foreign(image), path], options)
  }

  /** The most bytes that the file may have which `convert` makes. */
  async measure(image: ForeignImage, options: ProgramOptions): Promise<number> {
    const args = ['measure', '--output=json', '-O', 'qcow2', foreign(image)]
    return v.parse(measured, JSON.parse(await runProgram(this.#img, args, options))).required
  }

  /** Grows a disk's own file to the size of the disk; never shrinks it. */
  async grow(path: string, sizeMiB: number): Promise<void> {
    const bytes = sizeMiB * mebibyte
    if ((await diskBytesOf(path)) < bytes)
      await runProgram(this.#img, ['resize', '-q', named(path, null), String(bytes)])
  }

  /** Shrinks a disk's own file to the size of the disk, beyond which nothing was written. */
  async cut(path: string, bytes: number): Promise<void> {
    if ((await diskBytesOf(path)) <= bytes) return
    await runProgram(this.#img, ['resize', '-q', '--shrink', named(path, null), String(bytes)])
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
    // qemu-img would make the file readable for others, and does not sync it.
    await using file = await open(path, 'wx', 0o600)
    try {
      await runProgram(this.#img, args, options)
      await file.sync()
    } catch (error) {
      // An incomplete file is useless.
      await rm(path, { force: true })
      throw error
    }
  }
}

const measured = v.object({ required: v.number() })

/** The name of an image of another program for qemu-img, with its format, so that no other file is read than this one. */
const foreign = ({ image, format }: ForeignImage): string =>
  `json:${JSON.stringify({ ...foreignDrivers[format], file: { driver: 'file', filename: image }, backing: null })}`

/** A file name for qemu-img with format and backing chain, regardless of the file's header. */
const named = (filename: string, backing: QemuOptions | null): string =>
  `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename }, backing })}`
