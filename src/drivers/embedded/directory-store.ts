import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { inflate } from 'node:zlib'
import { FolderWatcher } from '../../files/folder-watcher.js'
import { errorCode } from '../../errors/native.js'
import type { Holder } from '../../registry/claim.js'
import type { DamagedVm } from '../../registry/damaged-vm.js'
import { damagedFile } from '../../registry/file-problem.js'
import { NotOwnError, readOwnBytes } from '../../registry/own-file.js'
import { replaceFile } from '../../registry/replace-file.js'
import { VmDirectory } from '../../registry/vm-directory.js'
import type { VmFormat } from '../../registry/vm-format.js'
import { requireFiles, type FileUse } from '../../registry/required-files.js'
import { definitionSchema, filesOf, type Definition } from './definition.js'
import type { DiskOverlaySpec } from './machine/protocol.js'
import { fromFormerState, isSavedState } from './machine/saved-state.js'
import { copyOverlayFiles, makeOverlayFile, requireOverlay } from './overlay-files.js'
import type { EmbeddedStore } from './embedded-store.js'

/** The largest saved memory: an emulated machine has at most 2 GiB, and its video memory. */
const maxMemoryBytes = 2.5 * 2 ** 30

/** The thread that loads it needs no copy. */
const sharedMemory = (size: number): Buffer => Buffer.from(new SharedArrayBuffer(size))

const inflated = promisify(inflate) as (content: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>

/** A disk is `disk-ID` with its map `disk-ID.map`, a saved memory `memory-ID`. */
const format: VmFormat<Definition> = {
  driver: 'embedded',
  schema: definitionSchema,
  filesOf,
  dataNameOf: (file) => (/^(?:disk|memory)-/.test(file) ? file.replace(/\.map$/, '') : undefined),
  isOther: () => false,
}

/** A VM whose claim is free has no thread. */
const endNothing = (): Promise<void> => Promise.resolve()

/** VMs in a directory that several processes can share. */
export class DirectoryStore implements EmbeddedStore {
  readonly #directory: VmDirectory<Definition>
  #watcher: FolderWatcher | undefined

  private constructor(directory: VmDirectory<Definition>) {
    this.#directory = directory
  }

  /** Opens a directory, or makes it. Refuses a directory with other contents. */
  static async open(root: string): Promise<DirectoryStore> {
    const directory = await VmDirectory.open(root, format)
    await directory.deleteEphemeral(endNothing)
    return new DirectoryStore(directory)
  }

  get owner(): string {
    return this.#directory.owner
  }

  get vms(): string {
    return this.#directory.vms
  }

  async list(): Promise<readonly (Definition | DamagedVm)[]> {
    return this.#directory.list()
  }

  async find(id: string): Promise<Definition | DamagedVm | undefined> {
    return this.#directory.find(id)
  }

  async get(id: string): Promise<Definition | undefined> {
    return this.#directory.get(id)
  }

  async findByName(name: string): Promise<Definition | DamagedVm | undefined> {
    return this.#directory.findByName(name)
  }

  async create(definition: Definition, fill: () => Promise<void>): Promise<void> {
    await this.#directory.create(definition, fill)
  }

  async save(definition: Definition): Promise<void> {
    await this.#directory.save(definition)
  }

  async delete(id: string): Promise<void> {
    await this.#directory.delete(id)
  }

  async deleteDamaged(id: string): Promise<void> {
    await this.#directory.deleteDamaged(id)
  }

  async lease(id: string): ReturnType<EmbeddedStore['lease']> {
    const { claim: lease, definition } = await this.#directory.claim(id, 'stopped')
    return { lease, definition }
  }

  async holder(id: string): Promise<Holder | undefined> {
    return this.#directory.holder(id)
  }

  async replaced(definition: Definition): Promise<Definition | undefined> {
    return this.#directory.replaced(definition)
  }

  onRemoved(listener: (id: string) => void): void {
    const { vms } = this.#directory
    this.#watcher = new FolderWatcher(vms, (name) => {
      if (name !== null && !existsSync(join(vms, name))) listener(name)
    })
  }

  async close(): Promise<void> {
    this.#watcher?.close()
    try {
      await this.#directory.deleteEphemeral(endNothing, true)
    } finally {
      await this.#directory.close()
    }
  }

  requireFiles(id: string, { hardware, memory }: Pick<Definition, 'hardware' | 'memory'>, use: FileUse): void {
    requireFiles({
      driver: format.driver,
      folder: this.#directory.folder(id),
      use,
      disks: hardware.disks.map((disk) => ({ id: disk.id, files: [disk.overlay] })),
      memory: memory?.file,
      checkDisk: requireOverlay,
    })
  }

  async makeOverlay(id: string, file: string): Promise<void> {
    await makeOverlayFile(this.#path(id, file))
  }

  async overlay(id: string, file: string): Promise<DiskOverlaySpec> {
    return { kind: 'file', path: this.#path(id, file) }
  }

  async putOverlay(): Promise<void> {
    throw new Error('Overlays of a directory are files')
  }

  async copyOverlay(from: { id: string; file: string }, to: { id: string; file: string }): Promise<void> {
    await copyOverlayFiles(this.#path(from.id, from.file), this.#path(to.id, to.file))
  }

  async putMemory(id: string, file: string, content: Uint8Array): Promise<void> {
    // As it is: to compress it would take longer than to write it.
    await replaceFile(this.#path(id, file), content)
  }

  async getMemory(id: string, file: string): Promise<Uint8Array> {
    const path = this.#path(id, file)
    try {
      const content = await readOwnBytes(path, maxMemoryBytes, sharedMemory)
      if (isSavedState(content)) return content
      // Earlier versions of awaitvm compressed it.
      return fromFormerState(await inflated(content, { maxOutputLength: maxMemoryBytes }))
    } catch (error) {
      const code = errorCode(error)
      if (error instanceof NotOwnError || code?.startsWith('Z_') === true || code === 'ENOENT') {
        throw damagedFile(path, error, {
          driver: format.driver,
          hint: "Drop the saved state with vm.stop({ mode: 'kill' }).",
        })
      }
      throw error
    }
  }

  #path(id: string, file: string): string {
    return join(this.#directory.folder(id), file)
  }
}
