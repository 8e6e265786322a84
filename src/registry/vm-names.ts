import { inBackground } from '../background.js'
import { idIsName, idIsTaken, nameIsId, nameIsTaken } from '../errors/lookup.js'
import { DamagedVm } from './damaged-vm.js'
import { NameIndex } from './name-index.js'
import type { AllVms, VmDefinitions } from './vm-definitions.js'
import type { WrittenVm } from './vm-format.js'

/** The names of the VMs in a directory, each of which belongs to one VM. All methods but `find` need the claim on the directory. */
export class VmNames<D extends WrittenVm> {
  readonly #definitions: VmDefinitions<D>
  readonly #index: NameIndex

  constructor(root: string, definitions: VmDefinitions<D>) {
    this.#definitions = definitions
    this.#index = new NameIndex(root, definitions.vms)
  }

  /**
   * The VM with the name, otherwise a damaged VM that seems to have had it. A name that the index lacks is looked for in all VMs, since
   * a definition may have been edited by hand.
   */
  async find(name: string): Promise<D | DamagedVm | undefined> {
    return this.#findIndexed(name) ?? this.#findAmong(await this.#definitions.all(), name)
  }

  /** Refuses a name that another VM has, as its name or its id. */
  async requireFreeName({ id, name }: D): Promise<void> {
    const other = await this.#findComplete(name)
    if (other !== undefined && other.id !== id) throw nameIsTaken(name, other.id)
    // A lookup by that name would find the other VM.
    if (name !== id && this.#definitions.find(name) !== undefined) throw nameIsId(name)
  }

  /** Refuses a VM of which another VM has the name or the id. */
  async requireFree(definition: D): Promise<void> {
    const { id } = definition
    const present = this.#definitions.find(id)
    if (present !== undefined) throw idIsTaken(id, present.name)
    await this.requireFreeName(definition)
    // A lookup by that VM's name would find this one.
    const namesake = await this.#findComplete(id)
    if (namesake !== undefined) throw idIsName(id, namesake.id)
  }

  /** Notes the VM that the action adds to the folder of VMs. */
  async adding<T>(definition: D, action: () => Promise<T>): Promise<T> {
    this.#index.put(definition)
    return this.#index.changing('add', action)
  }

  /** Forgets the VM that the action removes from the folder of VMs. */
  async removing<T>(id: string, action: () => Promise<T>): Promise<T> {
    const known = this.#definitions.find(id)
    const result = await this.#index.changing('remove', action)
    if (known !== undefined) this.#index.drop(known)
    return result
  }

  /** Notes the name that the action gives to a VM. */
  async renaming(definition: D, before: D | undefined, action: () => Promise<void>): Promise<void> {
    this.#index.put(definition)
    await action()
    if (before !== undefined) this.#index.drop(before)
  }

  /** The VM that the index has for the name, if that is its name, and it is not damaged. */
  #findIndexed(name: string): D | undefined {
    const found = this.#definitions.find(this.#index.idOf(name) ?? '')
    return found instanceof DamagedVm || found?.name !== name ? undefined : found
  }

  /** As `find`, but reads all VMs only if the index is not complete, or wrong. Then it is completed. */
  async #findComplete(name: string): Promise<D | DamagedVm | undefined> {
    const indexed = this.#findIndexed(name)
    if (indexed !== undefined || (this.#index.idOf(name) === undefined && this.#index.isComplete())) return indexed
    const stamp = this.#index.look()
    const all = await this.#definitions.all()
    // A damaged VM may get any name when its definition is put back, and the folder of VMs does not change by that.
    if (all.damaged.length === 0) await this.#index.complete(all.definitions, stamp)
    return this.#findAmong(all, name)
  }

  #findAmong({ definitions, damaged }: AllVms<D>, name: string): D | DamagedVm | undefined {
    const found = definitions.find((definition) => definition.name === name)
    if (found === undefined) return damaged.find((vm) => vm.name === name)
    // A lookup succeeds although nothing can be written.
    inBackground('Writing the name of a VM', () => {
      this.#index.put(found)
    })
    return found
  }
}
