import type { ExecHandler } from '../drivers/simulated/guest-program.js'
import type { FileSystem } from '../drivers/simulated/files/file-system.js'
import type { SimulatedHost } from '../drivers/simulated/host.js'
import type { SimulatedVm } from '../drivers/simulated/simulated-vm.js'
import type { InvalidStateError } from '../errors.js'
import { vmNotFound } from '../errors/lookup.js'
import { invalidState } from '../errors/state.js'
import type { VmState } from '../model/vm-state.js'

/**
 * The inside of a simulated VM: what its guest does, and its files. Methods take effect at once. Every member but `id` throws a
 * `VmNotFoundError` if the VM has been deleted.
 */
export class SimulatedVmHandle {
  /** The VM's id on its host. */
  readonly id: string
  readonly #host: SimulatedHost

  /** @internal */
  constructor(host: SimulatedHost, id: string) {
    this.#host = host
    this.id = id
  }

  /** The VM's present name. */
  get name(): string {
    return this.#vm.name
  }

  /** The VM's present state. */
  get state(): VmState {
    return this.#vm.state
  }

  /** The path of the VM's files, if it had any. `server.registerVm` takes it after `vm.unregister`. */
  get path(): string {
    return this.#host.store.pathOf(this.#vm)
  }

  /**
   * Crashes the guest. An event tells it, with the message, and operations that work on the VM fail.
   *
   * @throws InvalidStateError if the VM is neither running nor paused
   */
  crash(message = 'the guest crashed'): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.crash(vm, message)) throw notRunning(vm)
  }

  /**
   * Powers the guest off from inside.
   *
   * @throws InvalidStateError if the VM is neither running nor paused
   */
  powerOff(): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.powerOff(vm)) throw notRunning(vm)
  }

  /**
   * The guest writes to a disk while the host has no room: the VM is paused until `vm.resume()`, which finds room again. The event
   * has the reason `'disk-full'`, `vm.problem` is an `InsufficientResourcesError`, and operations that need room on the host, such
   * as `vm.suspend()`, fail with it.
   *
   * @throws InvalidStateError if the VM is not running
   */
  fillDisk(): void {
    const vm = this.#vm
    if (!this.#host.lifecycle.fillDisk(vm)) throw invalidState(vm.state, ['running'])
  }

  /**
   * Prints on the guest's serial console.
   *
   * @throws InvalidStateError if the VM is neither running nor paused
   */
  print(text: string): void {
    const vm = this.#vm
    if (vm.machine === undefined) throw notRunning(vm)
    vm.machine.print(text)
  }

  /**
   * Passes what is typed on the serial console to the handler instead of the built-in guest, from now on. Answer with
   * {@link print}. `undefined` removes the handler.
   */
  onConsoleInput(handler: ((text: string) => void) | undefined): void {
    this.#handlers.input = handler
  }

  /** Runs programs for `vm.guest.exec` in this VM. `undefined` removes the handler: then the host's handler runs them. */
  onExec(handler: ExecHandler | undefined): void {
    this.#handlers.exec = handler
  }

  /** The content of a file of the guest; `undefined` if there is no such file. Links are followed. */
  readFile(path: string): Uint8Array | undefined {
    return this.#withFiles((files) => (files.node(path, true)?.type === 'file' ? files.read(path) : undefined))
  }

  /**
   * Writes a file of the guest, and makes its folder if there is none. A string is encoded as UTF-8.
   *
   * @throws GuestFileError if the guest has something else in its place
   */
  writeFile(path: string, content: string | Uint8Array): void {
    this.#withFiles((files) => {
      const folder = path.replace(/\/*[^/]*$/, '')
      if (folder !== '') files.makeFolder(folder, { recursive: true })
      files.write(path, typeof content === 'string' ? new TextEncoder().encode(content) : content)
    })
  }

  /** Removes a file or folder of the guest. Does nothing if there is none. */
  removeFile(path: string): void {
    this.#withFiles((files) => {
      files.remove(path, { recursive: true, force: true })
    })
  }

  /**
   * Something in the guest listens on a TCP port, until the scope is left or the guest ends: `vm.guest.waitForPort` waits for it.
   *
   * @throws InvalidStateError if the VM is neither running nor paused
   */
  listen(port: number): Disposable {
    const vm = this.#vm
    if (vm.machine === undefined) throw notRunning(vm)
    return { [Symbol.dispose]: vm.machine.listen(port) }
  }

  #withFiles<R>(action: (files: FileSystem) => R): R {
    return this.#vm.withFiles(this.#host.clock.now, action)
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
