import { existsSync, lstatSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ProtocolError, ResourceBusyError, type VmError } from '../errors.js'
import { idIsTaken, nameIsId, nameIsTaken } from '../errors/lookup.js'
import { errorCode } from '../errors/native.js'
import type { VmState } from '../model/vm-state.js'
import { Claim, heldBy, isClaimFile, type Holder } from './claim.js'
import { DamagedVm } from './damaged-vm.js'
import { definitionFile, readDefinition, writeDefinition } from './definition-file.js'
import { aloneIn } from './directory-claim.js'
import { markerOf, openRoot } from './directory-root.js'
import { problemWith, remedyFor } from './file-problem.js'
import { Membership } from './membership.js'
import { isSameFolder, requireOwnFolder, type FolderIdentity } from './own-file.js'
import { formatIdentity, parseIdentity } from './process-identity.js'
import { draftPrefix, syncFolder } from './replace-file.js'
import type { VmFormat, WrittenVm } from './vm-format.js'
import { FormatError, parseJson } from './written-json.js'

/** Folders of VMs that are being made, by whom, or have been deleted: `new-PROCESS-ID`, `gone-ID`. */
const transientFolder = /^(?:new-(?<maker>.*)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|gone-.*)$/
const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

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

  /**
   * Opens a directory, or makes one; refuses one that holds something else.
   *
   * @param path the parameter that names it, for errors
   */
  static async open<D extends WrittenVm>(root: string, format: VmFormat<D>, path = 'uri'): Promise<VmDirectory<D>> {
    await openRoot(root, { driver: format.driver, path })
    const directory = new VmDirectory(root, format)
    await directory.member.join()
    await directory.#sweep()
    return directory
  }

  /** Leaves the directory to others, once this connection has no claim in it any more. */
  close(): Promise<void> {
    return this.member.leave()
  }

  /** Every VM in the order in which they were made; then those that are damaged. */
  async list(): Promise<readonly (D | DamagedVm)[]> {
    const definitions: D[] = []
    const damaged: DamagedVm[] = []
    for (const id of await this.ids()) {
      const found = await this.find(id)
      if (found instanceof DamagedVm) damaged.push(found)
      else if (found !== undefined) definitions.push(found)
    }
    definitions.sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
    return [...definitions, ...damaged.sort((a, b) => a.id.localeCompare(b.id))]
  }

  async ids(): Promise<string[]> {
    return (await readdir(this.vms)).filter((name) => idPattern.test(name))
  }

  /** The VM of the id, also one that is damaged; nothing where there is none. */
  async find(id: string): Promise<D | DamagedVm | undefined> {
    if (!idPattern.test(id)) return undefined
    const folder = join(this.vms, id)
    const path = join(folder, definitionFile)
    let text = ''
    try {
      requireOwnFolder(folder)
      text = readDefinition(folder)
      const definition = parseJson(this.#format.schema, text)
      if (definition.id !== id) throw new FormatError(`it speaks of the VM ${definition.id}`, false)
      return definition
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && lstatSync(folder, { throwIfNoEntry: false }) === undefined) return undefined
      const hint = `${remedyFor(error)}, or give the VM up with vm.delete(), or by removing ${folder}.`
      return new DamagedVm(id, text, this.#problem(path, error, hint))
    }
  }

  /** The definition of the VM of the id; throws what is wrong with one that is damaged. */
  async get(id: string): Promise<D | undefined> {
    const found = await this.find(id)
    if (found instanceof DamagedVm) throw found.problem
    return found
  }

  /** The VM of the name; one that is damaged, and seems to have had it, where no other has it. */
  async findByName(name: string): Promise<D | DamagedVm | undefined> {
    let damaged: DamagedVm | undefined
    for (const id of await this.ids()) {
      const found = await this.find(id)
      if (found?.name !== name) continue
      if (!(found instanceof DamagedVm)) return found
      damaged = found
    }
    return damaged
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
      await writeDefinition(folder, definition)
      await this.alone(async () => {
        await this.#assertNameIsFree(definition)
        // Whoever sees the VM from here on looks for it at its place.
        this.#pending.delete(id)
        await rename(folder, join(this.vms, id))
        await syncFolder(this.vms)
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
    const write = (): Promise<void> => writeDefinition(folder, definition)
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

  /** Deletes a VM that is damaged, where its folder has nothing but what awaitvm puts there, and nobody has it. */
  async deleteDamaged(id: string): Promise<void> {
    const folder = join(this.vms, id)
    try {
      requireOwnFolder(folder)
    } catch (error) {
      throw this.#problem(folder, error, 'Remove it yourself.')
    }
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (!entry.isDirectory() && this.#isOwnName(entry.name)) continue
      const reason = `it is damaged, and ${join(folder, entry.name)} is not one of a VM's files`
      throw new ProtocolError({ reason, hint: `Look through the folder ${folder}, and remove it yourself.` })
    }
    const claim = Claim.take(this.member, folder, 'unknown')
    if (!(claim instanceof Claim)) throw heldBy(claim)
    try {
      await this.delete(id)
    } catch (error) {
      claim.release()
      throw error
    }
  }

  /** Makes a VM none of the host's; answers the path of its folder from then on. */
  async unregister(id: string): Promise<string> {
    const aside = join(this.root, 'unregistered')
    await mkdir(aside, { recursive: true, mode: 0o700 })
    const folder = join(aside, id)
    await rename(join(this.vms, id), folder)
    await syncFolder(aside)
    return folder
  }

  /**
   * Makes the folder of a VM from elsewhere one of the host's, in one step; answers its path from then on. Refuses a name or
   * an id that is taken.
   *
   * @param checked the folder that was checked: another folder may have been put at the path since
   */
  async adopt(definition: D, from: string, checked?: FolderIdentity): Promise<string> {
    const folder = join(this.vms, definition.id)
    await this.alone(async () => {
      await this.assertIsFree(definition)
      await rename(from, folder)
      if (checked !== undefined && !isSameFolder(folder, checked)) {
        await rename(folder, from)
        throw new ResourceBusyError({ reason: `another process has put something else in the place of ${from}` })
      }
      await chmod(folder, 0o700)
      await syncFolder(this.vms)
    })
    return folder
  }

  /** Refuses a name or an id that is taken. */
  async assertIsFree(definition: D): Promise<void> {
    const present = await this.find(definition.id)
    if (present !== undefined) throw idIsTaken(present.id, present.name)
    await this.#assertNameIsFree(definition)
  }

  /** The directory whose VM a folder is; nothing where it is none's. */
  async ownerOf(folder: string): Promise<string | undefined> {
    const vms = dirname(folder)
    const root = dirname(vms)
    if (basename(vms) !== basename(this.vms)) return undefined
    return existsSync(join(root, markerOf(this.#format.driver))) ? root : undefined
  }

  /** The definition in a folder, wherever that is; nothing where there is none. */
  async readFrom(folder: string): Promise<D | undefined> {
    const path = join(folder, definitionFile)
    try {
      return parseJson(this.#format.schema, readDefinition(folder))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw this.#problem(path, error, `${remedyFor(error)}.`)
    }
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

  /** Whether the VM is claimed by a process that has ended. */
  isAbandoned(id: string): boolean {
    return ifThere(() => Claim.isAbandoned(this.member, this.folder(id))) === true
  }

  /** The folder of a VM, also of one that is being made. */
  folder(id: string): string {
    return this.#pending.get(id) ?? join(this.vms, id)
  }

  /** One process at a time does something to the directory as a whole: no two VMs get the same name. */
  alone<T>(action: () => Promise<T>): Promise<T> {
    return aloneIn(this.member, this.root, action)
  }

  #problem(path: string, error: unknown, hint: string): VmError {
    return problemWith(path, error, { driver: this.#format.driver, hint })
  }

  #isOwnName(name: string): boolean {
    const isOwn = name === definitionFile || name.startsWith(draftPrefix) || isClaimFile(name)
    return isOwn || this.#format.dataNameOf(name) !== undefined || this.#format.isOther(name)
  }

  async #assertNameIsFree({ id, name }: D): Promise<void> {
    const other = await this.findByName(name)
    if (other !== undefined && other.id !== id) throw nameIsTaken(name, other.id)
    // Whoever asks for the name would get that one.
    if (name !== id && (await this.find(name)) !== undefined) throw nameIsId(name)
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
      await rm(join(this.vms, name), { recursive: true, force: true }).catch((error: unknown) => {
        // One that another user has left hinders nobody.
        process.emitWarning(`${join(this.vms, name)} can't be removed: ${String(error)}`, 'AwaitvmWarning')
      })
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

/** Nothing where what is read is not there, or was deleted meanwhile. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const isMissing = (error: unknown): boolean => errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
