import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ProtocolError, ResourceBusyError, type VmError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import type { VmState } from '../model/vm-state.js'
import { Claim, heldBy, isClaimFile, type Holder } from './claim.js'
import { DamagedVm } from './damaged-vm.js'
import { definitionFile, writeDefinition } from './definition-file.js'
import { aloneIn } from './directory-claim.js'
import { markerOf, openRoot } from './directory-root.js'
import { EphemeralVms } from './ephemeral-vms.js'
import { problemWith } from './file-problem.js'
import { Membership } from './membership.js'
import { isSameFolder, requireOwnFolder, type FolderIdentity } from './own-file.js'
import { formatIdentity } from './process-identity.js'
import { draftPrefix, syncFolder } from './replace-file.js'
import { beginFolder, setAside, sweepUnfinished } from './unfinished.js'
import { VmDefinitions } from './vm-definitions.js'
import type { VmFormat, WrittenVm } from './vm-format.js'
import { VmNames } from './vm-names.js'

/**
 * The VMs of one host in a directory. Any number of processes may share it.
 *
 * ```
 * awaitvm-DRIVER.json  says what the directory is
 * claim                the process that is naming a VM; see Claim
 * processes/           the signs of life of processes that use the directory; see Membership
 * names/               the ids of VMs by their names; see VmNames
 * ephemeral/           the VMs that end with a connection; see EphemeralVms
 * vms/ID/vm.json       the definition; data files that it does not name are removed
 * vms/ID/claim         the process that changes the VM
 * vms/ID/...           files that the definition names
 * unfinished/...       VMs that are being created or deleted
 * unregistered/ID/...  VMs that were unregistered
 * ```
 */
export class VmDirectory<D extends WrittenVm> {
  readonly root: string
  /** The folder with the folders of VMs. */
  readonly vms: string
  readonly member: Membership
  readonly #format: VmFormat<D>
  readonly #definitions: VmDefinitions<D>
  readonly #names: VmNames<D>
  readonly #ephemeral: EphemeralVms<D>
  /** Folders of VMs that are being created. */
  readonly #pending = new Map<string, string>()

  private constructor(root: string, format: VmFormat<D>) {
    this.root = root
    this.member = new Membership(root)
    this.vms = join(root, 'vms')
    this.#format = format
    this.#definitions = new VmDefinitions(this.vms, format)
    this.#names = new VmNames(root, this.#definitions)
    this.#ephemeral = new EphemeralVms(root, this.member, this)
  }

  /**
   * Opens a directory, or creates it. Refuses one with other content.
   *
   * @param path the parameter with the path, for errors
   */
  static async open<D extends WrittenVm>(root: string, format: VmFormat<D>, path = 'uri'): Promise<VmDirectory<D>> {
    await openRoot(root, { driver: format.driver, path })
    const directory = new VmDirectory(root, format)
    await directory.member.join()
    await sweepUnfinished(root, directory.member)
    return directory
  }

  /** The owner of VMs that end with this connection. */
  get owner(): string {
    return formatIdentity(this.member.identity)
  }

  /** Leaves the directory. This connection must have no claim in it any more. */
  close(): Promise<void> {
    return this.member.leave()
  }

  /** All VMs in the order of their creation, then the damaged ones. */
  async list(): Promise<readonly (D | DamagedVm)[]> {
    const { definitions, damaged } = await this.#definitions.all()
    const sorted = definitions.toSorted((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id))
    return [...sorted, ...damaged.toSorted((a, b) => a.id.localeCompare(b.id))]
  }

  ids(): Promise<string[]> {
    return this.#definitions.ids()
  }

  /** The VM with the id, also if it is damaged. */
  async find(id: string): Promise<D | DamagedVm | undefined> {
    return this.#definitions.find(id)
  }

  /** The definition of the VM with the id. Throws the problem of a damaged VM. */
  async get(id: string): Promise<D | undefined> {
    const found = this.#definitions.find(id)
    if (found instanceof DamagedVm) throw found.problem
    return found
  }

  /** The definition of a VM as it is now, if another process has replaced it since it was read; else `undefined`. */
  async replaced(definition: D): Promise<D | undefined> {
    return this.#definitions.isOutdated(definition) ? await this.get(definition.id) : undefined
  }

  /** The VM with the name; if there is none, a damaged VM that seems to have had it. */
  findByName(name: string): Promise<D | DamagedVm | undefined> {
    return this.#names.find(name)
  }

  /** The definition in any folder; `undefined` if it has none. */
  async readFrom(folder: string): Promise<D | undefined> {
    return this.#definitions.readFrom(folder)
  }

  /** Adds a VM, whole or not at all; `fill` writes its files. Refuses a name that is taken. */
  async create(definition: D, fill: () => Promise<void>): Promise<void> {
    const { id } = definition
    await this.alone(() => this.#names.requireFreeName(definition))
    const folder = await beginFolder(this.root, this.member, id)
    this.#pending.set(id, folder)
    try {
      // First, so that hardly anything is left to fail once another VM has been changed for this one.
      await writeDefinition(folder, definition)
      await fill()
      await this.alone(async () => {
        await this.#names.requireFreeName(definition)
        await this.#ephemeral.note(definition, undefined)
        // From here on, the VM is visible at its final path.
        this.#pending.delete(id)
        await this.#names.adding(definition, async () => {
          await rename(folder, join(this.vms, id))
          await syncFolder(this.vms)
        })
      })
    } catch (error) {
      this.#pending.delete(id)
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Replaces the definition atomically, then removes files that it no longer names. Refuses a name that is taken. */
  async save(definition: D): Promise<void> {
    const folder = join(this.vms, definition.id)
    const write = (): Promise<void> => writeDefinition(folder, definition)
    const known = await this.get(definition.id)
    await this.#ephemeral.note(definition, known)
    if (known?.name === definition.name) await write()
    else {
      await this.alone(async () => {
        await this.#names.requireFreeName(definition)
        await this.#names.renaming(definition, known, write)
      })
    }
    await this.#ephemeral.forget(known, definition)
    await this.#dropLeftovers(definition, await readdir(folder))
  }

  async delete(id: string): Promise<void> {
    const known = this.#definitions.find(id)
    const gone = await this.alone(() => this.#names.removing(id, () => setAside(this.root, join(this.vms, id))))
    await rm(gone, { recursive: true, force: true })
    if (!(known instanceof DamagedVm)) await this.#ephemeral.forget(known)
  }

  /**
   * Deletes the ephemeral VMs of connections that have ended, but for those that another connection is working on.
   *
   * @param end ends what runs a VM
   * @param isClosing also those of this connection, which is about to end
   */
  deleteEphemeral(end: (definition: D) => Promise<void>, isClosing = false): Promise<void> {
    return this.#ephemeral.delete(end, isClosing)
  }

  /** Deletes a damaged VM, if its folder has only files of awaitvm and no process has claimed it. */
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

  /** Where the folders of VMs are that were taken out of the list. */
  get unregistered(): string {
    return join(this.root, 'unregistered')
  }

  /** Takes a VM out of the list; returns the new path of its folder. */
  async unregister(id: string): Promise<string> {
    const { unregistered } = this
    await mkdir(unregistered, { recursive: true, mode: 0o700 })
    const folder = join(unregistered, id)
    await this.alone(() => this.#names.removing(id, () => rename(join(this.vms, id), folder)))
    await syncFolder(unregistered)
    return folder
  }

  /**
   * Moves the folder of a VM into the directory, atomically; returns its new path. Refuses a name or an id that is taken.
   *
   * @param checked the folder that was checked: another one may have been put at its path since
   */
  async adopt(definition: D, from: string, checked?: FolderIdentity): Promise<string> {
    const folder = join(this.vms, definition.id)
    await this.alone(async () => {
      await this.#names.requireFree(definition)
      await this.#names.adding(definition, async () => {
        await rename(from, folder)
        if (checked !== undefined && !isSameFolder(folder, checked)) {
          await rename(folder, from)
          throw new ResourceBusyError({ reason: `another process has put something else in the place of ${from}` })
        }
        await chmod(folder, 0o700)
        await syncFolder(this.vms)
      })
    })
    return folder
  }

  /** Refuses a name or an id that is taken. */
  assertIsFree(definition: D): Promise<void> {
    return this.alone(() => this.#names.requireFree(definition))
  }

  /** The directory in which the folder is registered as a VM. */
  async ownerOf(folder: string): Promise<string | undefined> {
    const vms = dirname(folder)
    const root = dirname(vms)
    if (basename(vms) !== basename(this.vms)) return undefined
    return existsSync(join(root, markerOf(this.#format.driver))) ? root : undefined
  }

  /**
   * Claims the VM; returns the claim and the definition as read after it.
   * @param state the state that other processes are shown
   * @param before the state before the claim; the same if absent
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
      // The previous owner may have died during a change.
      if (definition !== undefined) await this.#dropLeftovers(definition, claim.found)
      return { claim, definition }
    } catch (error) {
      claim.release()
      throw error
    }
  }

  /** The holder of the claim on the VM, with the state that it shows. */
  holder(id: string): Holder | undefined {
    return ifThere(() => Claim.holder(this.member, this.folder(id)))
  }

  /** Whether the process that claimed the VM has ended. */
  isAbandoned(id: string): boolean {
    return ifThere(() => Claim.isAbandoned(this.member, this.folder(id))) === true
  }

  /** The folder of a VM, also of one that is being created. */
  folder(id: string): string {
    return this.#pending.get(id) ?? join(this.vms, id)
  }

  /** Runs the action while no other process changes the directory as a whole, so that no two VMs get the same name. */
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

/** Returns `undefined` if the file is not there, or was just deleted. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

const isMissing = (error: unknown): boolean => errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
