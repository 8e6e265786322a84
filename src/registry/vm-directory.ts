import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { InvalidArgumentError, ProtocolError } from '../errors.js'
import { idIsTaken, nameIsTaken } from '../errors/lookup.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import type { VmState } from '../model/vm-state.js'
import { Claim, heldBy, type Holder } from './claim.js'
import { Exclusive } from './exclusive.js'
import { Membership } from './membership.js'
import { formatIdentity, parseIdentity } from './process-identity.js'
import { draftPrefix, replaceFile } from './replace-file.js'
import { readSmallFile } from './small-file.js'

/** What every VM that is written down has, whatever its host. */
export interface WrittenVm {
  readonly id: string
  readonly name: string
  readonly createdAt: string
}

/** How a driver writes its VMs down. */
export interface VmFormat<D extends WrittenVm> {
  /** The driver's name; `awaitvm-NAME.json` marks a directory of its VMs. */
  readonly driver: string
  readonly schema: v.GenericSchema<unknown, D>
  /** Every file that the definition speaks of, by its name in the VM's folder. */
  filesOf(definition: D): ReadonlySet<string>
  /** The name that the definition would have for a file of the VM's folder; nothing for one that it never speaks of. */
  dataNameOf(file: string): string | undefined
}

const definitionFile = 'vm.json'
/** Folders of VMs that are being made, by whom, or have been deleted: `new-PROCESS-ID`, `gone-ID`. */
const transientFolder = /^(?:new-(?<maker>.*)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|gone-.*)$/
const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** How long another process may take for naming a VM, which is a matter of milliseconds, before it is reported. */
const namingTimeoutMs = 10_000
const namingRetryMs = 5

/**
 * The VMs of one host in a directory, which any number of processes may share.
 *
 * ```
 * awaitvm-DRIVER.json  says what the directory is
 * claim                who is naming a VM at present; see Claim
 * processes/           the signs of life of those who use it; see Membership
 * vms/ID/vm.json       the definition: what it does not speak of is not kept
 * vms/ID/claim         which process changes the VM
 * vms/ID/...           files that the definition speaks of
 * unregistered/ID/...  VMs that are kept here, and are none of the host's
 * ```
 */
export class VmDirectory<D extends WrittenVm> {
  readonly root: string
  /** The folder of the VMs' folders. */
  readonly vms: string
  readonly member: Membership
  readonly #format: VmFormat<D>
  /** Folders of VMs that are being made. */
  readonly #pending = new Map<string, string>()

  private constructor(root: string, format: VmFormat<D>) {
    this.root = root
    this.member = new Membership(root)
    this.vms = join(root, 'vms')
    this.#format = format
  }

  /** Opens a directory, or makes one; refuses one that holds something else. */
  static async open<D extends WrittenVm>(root: string, format: VmFormat<D>): Promise<VmDirectory<D>> {
    await mkdir(root, { recursive: true, mode: 0o700 })
    const directory = new VmDirectory(root, format)
    await directory.#mark()
    await directory.member.join()
    await mkdir(directory.vms, { recursive: true, mode: 0o700 })
    await directory.#sweep()
    return directory
  }

  /** Leaves the directory to others, once this connection has no claim in it any more. */
  close(): Promise<void> {
    return this.member.leave()
  }

  async list(): Promise<readonly D[]> {
    const definitions: D[] = []
    for (const id of await this.ids()) {
      const definition = await this.get(id)
      if (definition !== undefined) definitions.push(definition)
    }
    return definitions.sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
  }

  async ids(): Promise<string[]> {
    return (await readdir(this.vms)).filter((name) => idPattern.test(name))
  }

  async get(id: string): Promise<D | undefined> {
    if (!idPattern.test(id)) return undefined
    const folder = join(this.vms, id)
    const definition = await this.readFrom(folder, `Restore it, or remove the folder ${folder} to give the VM up.`)
    if (definition === undefined || definition.id === id) return definition
    const cause = new Error(`it speaks of the VM ${definition.id}`)
    throw this.damaged(join(folder, definitionFile), cause, 'Restore it.')
  }

  async findByName(name: string): Promise<D | undefined> {
    let unreadable: unknown
    for (const id of await this.ids()) {
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

  /** Keeps a new VM, whole or not at all; `fill` writes its files. Refuses a name that is taken. */
  async create(definition: D, fill: () => Promise<void>): Promise<void> {
    const { id } = definition
    const folder = join(this.vms, `new-${formatIdentity(this.member.identity)}-${id}`)
    await this.#assertNameIsFree(definition)
    await mkdir(folder, { mode: 0o700 })
    this.#pending.set(id, folder)
    try {
      await fill()
      await replaceFile(join(folder, definitionFile), JSON.stringify(definition))
      await this.alone(async () => {
        await this.#assertNameIsFree(definition)
        // Whoever sees the VM from here on looks for it at its place.
        this.#pending.delete(id)
        await rename(folder, join(this.vms, id))
      })
    } catch (error) {
      this.#pending.delete(id)
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Replaces the definition in one step, and then drops files that it no longer speaks of. Refuses a name that is taken. */
  async save(definition: D): Promise<void> {
    const folder = join(this.vms, definition.id)
    const write = (): Promise<void> => replaceFile(join(folder, definitionFile), JSON.stringify(definition))
    const known = await this.get(definition.id)
    if (known?.name === definition.name) await write()
    else {
      await this.alone(async () => {
        await this.#assertNameIsFree(definition)
        await write()
      })
    }
    await this.#dropLeftovers(definition, await readdir(folder))
  }

  async delete(id: string): Promise<void> {
    const gone = join(this.vms, `gone-${id}`)
    await rename(join(this.vms, id), gone)
    await rm(gone, { recursive: true, force: true })
  }

  /** Makes a VM none of the host's; answers the path of its folder from then on. */
  async unregister(id: string): Promise<string> {
    const aside = join(this.root, 'unregistered')
    await mkdir(aside, { recursive: true, mode: 0o700 })
    const folder = join(aside, id)
    await rename(join(this.vms, id), folder)
    return folder
  }

  /**
   * Makes the folder of a VM from elsewhere one of the host's, in one step; answers its path from then on. Refuses a name or
   * an id that is taken.
   */
  async adopt(definition: D, from: string): Promise<string> {
    const folder = join(this.vms, definition.id)
    await this.alone(async () => {
      await this.assertIsFree(definition)
      await rename(from, folder)
    })
    return folder
  }

  /** Refuses a name or an id that is taken. */
  async assertIsFree(definition: D): Promise<void> {
    const present = await this.get(definition.id)
    if (present !== undefined) throw idIsTaken(present.id, present.name)
    await this.#assertNameIsFree(definition)
  }

  /** The directory whose VM a folder is; nothing where it is none's. */
  async ownerOf(folder: string): Promise<string | undefined> {
    const vms = dirname(folder)
    const root = dirname(vms)
    if (basename(vms) !== basename(this.vms)) return undefined
    return readIfThere(join(root, this.#marker)) === undefined ? undefined : root
  }

  /** The definition in a folder, wherever that is; nothing where there is none. */
  async readFrom(folder: string, hint: string): Promise<D | undefined> {
    const path = join(folder, definitionFile)
    const text = readIfThere(path)
    return text === undefined ? undefined : this.#parse(this.#format.schema, text, path, hint)
  }

  /**
   * The claim, and the definition as it is from then on; nothing where there is none.
   * @param state what is told of the VM meanwhile
   * @param before what it is, where that is something else
   * @throws ResourceBusyError while another process or connection has the VM
   */
  async claim(
    id: string,
    state: VmState,
    before?: VmState,
  ): Promise<{ readonly claim: Claim; readonly definition: D | undefined }> {
    const claim = Claim.take(this.member, this.folder(id), state, before)
    if (!(claim instanceof Claim)) throw heldBy(claim)
    try {
      const definition = await this.get(id)
      // Whoever had it before may have died over a change.
      if (definition !== undefined) await this.#dropLeftovers(definition, claim.found)
      return { claim, definition }
    } catch (error) {
      claim.release()
      throw error
    }
  }

  /** Who has the VM at present, and the state that is told of it meanwhile. */
  holder(id: string): Holder | undefined {
    return ifThere(() => Claim.holder(this.member, this.folder(id)))
  }

  /** The VMs that somebody had who died over it. */
  async abandoned(): Promise<string[]> {
    const ids: string[] = []
    for (const id of await this.ids())
      if (ifThere(() => Claim.isAbandoned(this.member, this.folder(id))) === true) ids.push(id)
    return ids
  }

  /** The folder of a VM, also of one that is being made. */
  folder(id: string): string {
    return this.#pending.get(id) ?? join(this.vms, id)
  }

  /** One process at a time does something to the directory as a whole: no two VMs get the same name. */
  alone<T>(action: () => Promise<T>): Promise<T> {
    return turns.run(this.root, () => this.#withDirectoryClaim(action))
  }

  /** A file that is not what it should be. */
  damaged(path: string, cause: unknown, hint: string): ProtocolError {
    const native = nativeErrorOf(this.#format.driver, cause)
    return new ProtocolError({ reason: `the file ${path} is damaged: ${native.message}`, hint, cause, native })
  }

  /** The file that says what the directory is. */
  get #marker(): string {
    return `awaitvm-${this.#format.driver}.json`
  }

  async #mark(): Promise<void> {
    const format = `awaitvm-${this.#format.driver}`
    const name = this.#marker
    const path = join(this.root, name)
    const text = readIfThere(path)
    if (text === undefined) {
      const others = (await readdir(this.root)).filter((other) => !other.startsWith(draftPrefix) && other !== name)
      if (others.length > 0 && readIfThere(path) === undefined) throw notARegistry(this.root, name)
      await replaceFile(path, `${JSON.stringify({ format, version: 1 })}\n`)
    } else {
      const schema = v.object({ format: v.literal(format), version: v.literal(1) })
      this.#parse(schema, text, path, 'It says what the directory is; a newer awaitvm may have made it.')
    }
  }

  #parse<S extends v.GenericSchema>(schema: S, text: string, path: string, hint: string): v.InferOutput<S> {
    try {
      return v.parse(schema, JSON.parse(text))
    } catch (error) {
      throw this.damaged(path, error, hint)
    }
  }

  async #assertNameIsFree({ id, name }: D): Promise<void> {
    const other = await this.findByName(name)
    if (other !== undefined && other.id !== id) throw nameIsTaken(name, other.id)
  }

  async #withDirectoryClaim<T>(action: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + namingTimeoutMs
    let claim = Claim.take(this.member, this.root, 'stopped')
    while (!(claim instanceof Claim)) {
      if (performance.now() > deadline) {
        throw heldBy(claim, `the directory ${this.root}`)
      }
      await delay(namingRetryMs)
      claim = Claim.take(this.member, this.root, 'stopped')
    }
    try {
      return await action()
    } finally {
      claim.release()
    }
  }

  /** Removes what processes that died left half made or half deleted. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.vms)) {
      const match = transientFolder.exec(name)
      if (match === null) continue
      const { maker } = match.groups ?? {}
      const identity = maker === undefined ? undefined : parseIdentity(maker)
      // By whom it is being made has to be known before it is taken for left behind.
      if (maker !== undefined && (identity === undefined || this.member.isAlive(identity))) continue
      await rm(join(this.vms, name), { recursive: true, force: true })
    }
  }

  async #dropLeftovers(definition: D, names: readonly string[]): Promise<void> {
    const folder = join(this.vms, definition.id)
    const wanted = this.#format.filesOf(definition)
    for (const name of names) {
      const data = this.#format.dataNameOf(name)
      const isLeftover = data === undefined ? name.startsWith(draftPrefix) : !wanted.has(data)
      if (isLeftover) await rm(join(folder, name), { force: true })
    }
  }
}

/** Those of this process take turns; only other processes are polled for. */
const turns = new Exclusive()

const readIfThere = (path: string): string | undefined => ifThere(() => readSmallFile(path))

/** Nothing where what is read is not there, or was deleted meanwhile. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

const notARegistry = (root: string, marker: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'uri',
    reason: `the directory ${root} holds other files and no ${marker}`,
    hint: 'Name an empty or a new directory.',
  })
