import { AlreadyExistsError, InvalidArgumentError } from '../../errors.js'
import { nameIsId, nameIsTaken, vmNotFound } from '../../errors/lookup.js'
import type { SimulatedVm } from './simulated-vm.js'

/** The VMs of a host by id and by name, and the unregistered ones, whose files still exist. */
export class SimulatedVmStore {
  readonly #byId = new Map<string, SimulatedVm>()
  readonly #byName = new Map<string, SimulatedVm>()
  readonly #unregistered = new Map<string, SimulatedVm>()

  list(): Iterable<SimulatedVm> {
    return this.#byId.values()
  }

  find(nameOrId: string): SimulatedVm | undefined {
    return this.#byId.get(nameOrId) ?? this.#byName.get(nameOrId)
  }

  findByName(name: string): SimulatedVm | undefined {
    return this.#byName.get(name)
  }

  has(vm: SimulatedVm): boolean {
    return this.#byId.get(vm.id) === vm
  }

  get(id: string): SimulatedVm {
    const vm = this.#byId.get(id)
    if (vm === undefined) throw vmNotFound(id)
    return vm
  }

  require(nameOrId: string): SimulatedVm {
    const vm = this.find(nameOrId)
    if (vm === undefined) throw vmNotFound(nameOrId)
    return vm
  }

  /** Throws if another VM has the name. */
  requireFree(name: string, own?: SimulatedVm): void {
    const other = this.#byName.get(name)
    if (other !== undefined && other !== own) throw nameIsTaken(name, other.id)
    // A lookup by the name would find that VM.
    const owner = this.#byId.get(name)
    if (owner !== undefined && owner !== own) throw nameIsId(name)
  }

  add(vm: SimulatedVm): void {
    this.requireFree(vm.name)
    this.#byId.set(vm.id, vm)
    this.#byName.set(vm.name, vm)
  }

  /** Notes a VM's new name. */
  renamed(vm: SimulatedVm, previous: string): void {
    if (vm.name === previous) return
    this.#byName.delete(previous)
    this.#byName.set(vm.name, vm)
  }

  remove(vm: SimulatedVm): void {
    this.#byId.delete(vm.id)
    this.#byName.delete(vm.name)
  }

  /** The path of the VM's files, if it had any. */
  pathOf({ id }: SimulatedVm): string {
    return `/simulated/${id}`
  }

  unregister(vm: SimulatedVm): void {
    this.remove(vm)
    this.#unregistered.set(this.pathOf(vm), vm)
  }

  /** Registers the VM at the path again. */
  register(path: string): SimulatedVm {
    const vm = this.#unregistered.get(path)
    if (vm !== undefined) {
      this.add(vm)
      this.#unregistered.delete(path)
      return vm
    }
    const id = path.slice(path.lastIndexOf('/') + 1)
    const there = this.#byId.get(id)
    if (there !== undefined && this.pathOf(there) === path) {
      throw new AlreadyExistsError({
        reason: `the VM ${JSON.stringify(there.name)} at ${path} is registered already`,
        hint: `server.getVm(${JSON.stringify(there.name)}) finds it.`,
      })
    }
    throw new InvalidArgumentError({ path: 'path', reason: `there is no VM at ${path}` })
  }
}
