import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { deflate, inflate } from 'node:zlib'
import * as v from 'valibot'
import { InvalidArgumentError, ProtocolError, ResourceBusyError } from '../../errors.js'
import { Claim } from './claim.js'
import { copyOverlayFiles } from './copy-overlay.js'
import { definitionSchema, filesOf, type Definition } from './definition.js'
import { nameIsTaken } from '../../errors/lookup.js'
import { errorCode } from '../../errors/native.js'
import { embeddedError, heldBy, nativeError } from './embedded-errors.js'
import { Exclusive } from './exclusive.js'
import type { DiskOverlaySpec } from './machine/protocol.js'
import { isAlive, ownIdentity } from './process-identity.js'
import { draftPrefix, replaceFile } from './replace-file.js'
import type { Holder, Lease, VmStore } from './store.js'

const markerFile = 'awaitvm-embedded.json'
const marker = { format: 'awaitvm-embedded', version: 1 }
const markerSchema = v.object({ format: v.literal(marker.format), version: v.literal(marker.version) })
const definitionFile = 'vm.json'
/** Folders of VMs that are being made, or have been deleted: `new-PID-BEGAN-ID`, `gone-ID`. */
const transientFolder = /^(?:new-(?<pid>\d{1,10})-(?<began>\d{0,20})-|gone-)/
const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** How long another process may take for naming a VM, which is a matter of milliseconds, before it is reported. */
const namingTimeoutMs = 10_000
const namingRetryMs = 5
/** A saved memory of more is not one of ours: an emulated machine has at most 2 GiB and its video memory. */
const maxMemoryBytes = 2.5 * 2 ** 30

const deflated = promisify(deflate)
const inflated = promisify(inflate) as (content: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>

/**
 * VMs kept in a directory, which any number of processes may share.
 *
 * ```
 * awaitvm-embedded.json   says what the directory is
 * claim.N                 who is naming a VM at present
 * vms/ID/vm.json          the definition: what it does not speak of is not kept
 * vms/ID/claim.N          which process runs or changes the VM
 * vms/ID/disk-*, memory-* files that the definition speaks of
 * ```
 */
export class DirectoryStore implements VmStore {
  readonly #root: string
  readonly #vms: string
  /** Folders of VMs that are being made. */
  readonly #pending = new Map<string, string>()

  private constructor(root: string) {
    this.#root = root
    this.#vms = join(root, 'vms')
  }

  /** Opens a directory, or makes one; refuses one that holds something else. */
  static async open(root: string): Promise<DirectoryStore> {
    await mkdir(root, { recursive: true, mode: 0o700 })
    const text = await readIfThere(join(root, markerFile))
    if (text === undefined) {
      const others = (await readdir(root)).filter((name) => !name.startsWith(draftPrefix) && name !== markerFile)
      if (others.length > 0 && (await readIfThere(join(root, markerFile))) === undefined) throw notARegistry(root)
      await replaceFile(join(root, markerFile), `${JSON.stringify(marker)}\n`, true)
    } else {
      parse(
        markerSchema,
        text,
        join(root, markerFile),
        'It says what the directory is; a newer awaitvm may have made it.',
      )
    }
    await mkdir(join(root, 'vms'), { recursive: true, mode: 0o700 })
    const store = new DirectoryStore(root)
    await store.#sweep()
    return store
  }

  async list(): Promise<readonly Definition[]> {
    const definitions: Definition[] = []
    for (const id of await this.#ids()) {
      const definition = await this.get(id)
      if (definition !== undefined) definitions.push(definition)
    }
    return definitions.sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
  }

  async get(id: string): Promise<Definition | undefined> {
    if (!idPattern.test(id)) return undefined
    const path = join(this.#vms, id, definitionFile)
    const text = await readIfThere(path)
    if (text === undefined) return undefined
    const definition = parse(
      definitionSchema,
      text,
      path,
      `Restore it, or remove the folder ${join(this.#vms, id)} to give the VM up.`,
    )
    if (definition.id !== id) throw damaged(path, new Error(`it speaks of the VM ${definition.id}`), 'Restore it.')
    return definition
  }

  async findByName(name: string): Promise<Definition | undefined> {
    let unreadable: unknown
    for (const id of await this.#ids()) {
      try {
        const definition = await this.get(id)
        if (definition?.name === name) return definition
      } catch (error) {
        // It may be the one: but another that is readable goes before it.
        unreadable ??= error
      }
    }
    if (unreadable !== undefined) throw unreadable as Error
    return undefined
  }

  async create(definition: Definition, fill: () => Promise<void>): Promise<void> {
    const { id } = definition
    const { pid, began } = ownIdentity()
    const folder = join(this.#vms, `new-${String(pid)}-${began}-${id}`)
    await this.#assertNameIsFree(definition)
    await mkdir(folder, { mode: 0o700 })
    this.#pending.set(id, folder)
    try {
      await fill()
      await replaceFile(join(folder, definitionFile), JSON.stringify(definition), true)
      await this.#naming(async () => {
        await this.#assertNameIsFree(definition)
        await rename(folder, join(this.#vms, id))
      })
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    } finally {
      this.#pending.delete(id)
    }
  }

  async save(definition: Definition): Promise<void> {
    const folder = join(this.#vms, definition.id)
    const write = (): Promise<void> => replaceFile(join(folder, definitionFile), JSON.stringify(definition), true)
    const known = await this.get(definition.id)
    if (known?.name === definition.name) await write()
    else {
      await this.#naming(async () => {
        await this.#assertNameIsFree(definition)
        await write()
      })
    }
    await dropLeftovers(folder, definition)
  }

  async delete(id: string): Promise<void> {
    const gone = join(this.#vms, `gone-${id}`)
    await rename(join(this.#vms, id), gone)
    await rm(gone, { recursive: true, force: true })
  }

  async lease(id: string): Promise<Lease> {
    const claim = await Claim.take(this.#folder(id), 'stopped')
    if (!(claim instanceof Claim)) throw heldBy(claim.pid)
    // Whoever had it before may have died over a change.
    const definition = await this.get(id)
    if (definition !== undefined) await dropLeftovers(this.#folder(id), definition)
    return claim
  }

  async holder(id: string): Promise<Holder | undefined> {
    try {
      return await Claim.holder(this.#folder(id))
    } catch (error) {
      // Deleted meanwhile.
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async overlay(id: string, file: string): Promise<DiskOverlaySpec> {
    return { kind: 'file', path: join(this.#folder(id), file) }
  }

  async putOverlay(): Promise<void> {
    throw new Error('Overlays of a directory are files')
  }

  async copyOverlay(from: { id: string; file: string }, to: { id: string; file: string }): Promise<void> {
    await copyOverlayFiles(join(this.#folder(from.id), from.file), join(this.#folder(to.id), to.file))
  }

  async putMemory(id: string, file: string, content: Uint8Array): Promise<void> {
    // Most of a guest's memory is alike: the fastest level takes most of the gain.
    await replaceFile(join(this.#folder(id), file), await deflated(content, { level: 1 }), true)
  }

  async getMemory(id: string, file: string): Promise<Uint8Array> {
    const path = join(this.#folder(id), file)
    try {
      return await inflated(await readFile(path), { maxOutputLength: maxMemoryBytes })
    } catch (error) {
      if (errorCode(error)?.startsWith('Z_') === true || errorCode(error) === 'ENOENT') {
        throw damaged(path, error, "Drop the saved state with vm.stop({ mode: 'kill' }).")
      }
      throw error
    }
  }

  #folder(id: string): string {
    return this.#pending.get(id) ?? join(this.#vms, id)
  }

  async #ids(): Promise<string[]> {
    return (await readdir(this.#vms)).filter((name) => idPattern.test(name))
  }

  async #assertNameIsFree({ id, name }: Definition): Promise<void> {
    const other = await this.findByName(name)
    if (other !== undefined && other.id !== id) throw nameIsTaken(name, other.id)
  }

  /** One process at a time gives a name, so that no two VMs get the same. */
  #naming(action: () => Promise<void>): Promise<void> {
    return namings.run(this.#root, () => this.#nameAlone(action))
  }

  async #nameAlone(action: () => Promise<void>): Promise<void> {
    const deadline = Date.now() + namingTimeoutMs
    let claim = await Claim.take(this.#root, 'stopped')
    while (!(claim instanceof Claim)) {
      if (Date.now() > deadline) {
        throw new ResourceBusyError({
          pid: claim.pid,
          reason: `the process ${String(claim.pid)} is changing the directory ${this.#root}`,
        })
      }
      await delay(namingRetryMs)
      claim = await Claim.take(this.#root, 'stopped')
    }
    try {
      await action()
    } finally {
      await claim.release()
    }
  }

  /** Removes what processes that died left half made or half deleted. */
  async #sweep(): Promise<void> {
    const self = ownIdentity()
    for (const name of await readdir(this.#vms)) {
      const match = transientFolder.exec(name)
      if (match === null) continue
      const { pid, began } = match.groups ?? {}
      if (pid !== undefined && isAlive({ ...self, pid: Number(pid), began: began ?? '' })) continue
      await rm(join(this.#vms, name), { recursive: true, force: true })
    }
  }
}

/** Those of this process take turns; only other processes are polled for. */
const namings = new Exclusive()

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw embeddedError(error)
  }
}

function parse<S extends v.GenericSchema>(schema: S, text: string, path: string, hint: string): v.InferOutput<S> {
  try {
    return v.parse(schema, JSON.parse(text))
  } catch (error) {
    throw damaged(path, error, hint)
  }
}

const damaged = (path: string, cause: unknown, hint: string): ProtocolError =>
  new ProtocolError({
    reason: `the file ${path} is damaged: ${nativeError(cause).message}`,
    hint,
    cause,
    native: nativeError(cause),
  })

const notARegistry = (root: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'uri',
    reason: `the directory ${root} holds other files and no ${markerFile}`,
    hint: 'Name an empty or a new directory.',
  })

async function dropLeftovers(folder: string, definition: Definition): Promise<void> {
  const wanted = filesOf(definition)
  for (const name of await readdir(folder)) {
    const isData = name.startsWith('disk-') || name.startsWith('memory-')
    const isLeftover = isData ? !wanted.has(name.replace(/\.map$/, '')) : name.startsWith(draftPrefix)
    if (isLeftover) await rm(join(folder, name), { force: true })
  }
}
