import type { ExecHandler } from '../drivers/simulated/guest-program.js'
import { readGuestFile } from '../drivers/simulated/guest-files.js'
import type { SimulatedHost } from '../drivers/simulated/host.js'
import type { SimulatedVm } from '../drivers/simulated/simulated-vm.js'
import type { InvalidStateError } from '../errors.js'
import { vmNotFound } from '../errors/lookup.js'
import { invalidState } from '../errors/state.js'
import type { VmState } from '../model/vm-state.js'

/**
 * A VM from within: what its guest does, and what is in it. Its methods take effect at once; they throw an
 * `InvalidStateError` where the VM does not run.
 */
export class SimulatedVmHandle {
  readonly id: string
  readonly #host: SimulatedHost

  /** @internal */
  constructor(host: SimulatedHost, id: string) {
    this.#host = host
    this.id = id
  }

  get name(): string {
    return this.#vm.name
  }

  get state(): VmState {
    return this.#vm.state
  }

  /** Where the VM's files would lie: what `server.registerVm` takes after `vm.unregister`. */
  get path(): string {
    return this.#host.store.pathOf(this.#vm)
  }

  /** The guest dies: an event tells so, with the message, and what is being done to the VM fails. */
  crash(message = 'the guest crashed'): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.crash(vm, message)) throw notRunning(vm)
  }

  /** The guest turns its power off. */
  powerOff(): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.powerOff(vm)) throw notRunning(vm)
  }

  /**
   * The guest writes to a disk, and the host's disk is full: the VM is paused until `vm.resume()`, which finds room again. The event
   * has the reason `'disk-full'`, `vm.problem` is an `InsufficientResourcesError`, and what needs room on the host, such as
   * `vm.suspend()`, fails with it.
   */
  fillDisk(): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.fillDisk(vm)) throw invalidState(vm.state, ['running'])
  }

  /** The guest prints on its serial console. */
  print(text: string): void {
    const vm = this.#vm
    if (vm.machine === undefined) throw notRunning(vm)
    vm.machine.print(text)
  }

  /**
   * From now on this has what is typed on the serial console, instead of the built-in guest; `undefined` lets that have it
   * again. Answer with {@link print}.
   */
  onConsoleInput(handler: ((text: string) => void) | undefined): void {
    this.#handlers.input = handler
  }

  /** Runs programs for `vm.guest.exec` in this VM; `undefined` leaves it to the host's handler again. */
  onExec(handler: ExecHandler | undefined): void {
    this.#handlers.exec = handler
  }

  /** A file of the guest; `undefined` where it has none of that path. */
  readFile(path: string): Uint8Array | undefined {
    return readGuestFile(this.#vm, path)
  }

  writeFile(path: string, content: string | Uint8Array): void {
    this.#vm.writeFile(path, typeof content === 'string' ? new TextEncoder().encode(content) : content)
  }

  /** Does nothing where the guest has no such file. */
  removeFile(path: string): void {
    this.#vm.removeFile(path)
  }

  get #vm(): SimulatedVm {
    const vm = this.#host.store.find(this.id)
    if (vm === undefined) throw vmNotFound(this.id)
    return vm
  }

  get #handlers(): NonNullable<SimulatedVm['handlers']> {
    return (this.#vm.handlers ??= {})
  }
}

const notRunning = ({ state }: SimulatedVm): InvalidStateError => invalidState(state, ['running', 'paused'])
