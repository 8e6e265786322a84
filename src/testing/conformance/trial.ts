import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { ConnectOptions } from '../../connect.js'
import type { Server } from '../../server.js'
import type { Vm } from '../../vm.js'
import type { StartOptions } from '../../vm-arguments.js'
import type { VmSpec } from '../../model/vm-spec.js'
import type { VmState } from '../../model/vm-state.js'
import type { ConsoleReader } from './console-reader.js'
import { EventLog } from './event-log.js'
import { patience } from './deadline.js'
import { openResources } from './open-resources.js'
import { GuestLacksError, type Guest, type GuestProfile } from './guest.js'
import type { DescribedHost, OpenHost } from './host.js'
import { SerialGuest } from './serial-guest.js'

const usualTmpdir = process.env['TMPDIR']

function restoreTmpdir(): void {
  if (usualTmpdir === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = usualTmpdir
}

/** A VM whose guest has booted, and the channel to it. */
export interface RunningVm {
  readonly vm: Vm
  readonly guest: Guest
}

export interface TrialOptions {
  /** True if the VMs of the case have a guest. */
  readonly needsGuest: boolean
  readonly connect?: ConnectOptions | undefined
  /** True if several cases work inside the VM of {@link Trial.vmWithAgent}, one after another. `false` if absent. */
  readonly isShared?: boolean | undefined
}

/** One run of one case on a host of its own. It makes VMs, and brings them into the states that the case needs. */
export class Trial {
  readonly host: DescribedHost
  /** The VMs and guests of the host. */
  readonly profile: GuestProfile
  readonly opened: OpenHost
  readonly #needsGuest: boolean
  readonly #folder: string
  readonly #resources: readonly string[]
  readonly #servers: Server[]
  readonly #isShared: boolean
  #sharedVm: Vm | undefined
  #lastName = 0

  private constructor(
    host: DescribedHost,
    opened: OpenHost,
    { needsGuest, isShared = false }: TrialOptions,
    folder: string,
    resources: readonly string[],
  ) {
    this.host = host
    this.profile = host.guest
    this.opened = opened
    this.#needsGuest = needsGuest
    this.#isShared = isShared
    this.#folder = folder
    this.#resources = resources
    this.#servers = [opened.server]
  }

  static async open(host: DescribedHost, options: TrialOptions): Promise<Trial> {
    const resources = openResources()
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-'))
    // What the case makes in the temporary folder must be gone at its end.
    process.env['TMPDIR'] = join(folder, 'tmp')
    await mkdir(tmpdir())
    try {
      return new Trial(host, await host.open(options.connect), options, folder, resources)
    } catch (error) {
      restoreTmpdir()
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** The current connection. */
  get server(): Server {
    return this.#servers.at(-1)!
  }

  /** The path of a file for this case, outside of the host's folders. */
  path(name: string): string {
    return join(this.#folder, name)
  }

  /** A name that no VM has. */
  newName(): string {
    this.#lastName += 1
    return `conformance-${this.#lastName}`
  }

  events(filter?: Parameters<Server['events']>[0]): EventLog {
    return new EventLog(this.server.events(filter))
  }

  async createVm(changes: Partial<VmSpec> = {}): Promise<Vm> {
    const spec = { name: this.newName(), ...this.profile.spec, ...changes }
    if (this.#needsGuest && this.opened.createVmWithGuest !== undefined) {
      return await this.opened.createVmWithGuest(this.server, spec)
    }
    return await this.server.createVm(spec).unwrap()
  }

  async runningVm(changes: Partial<VmSpec> = {}): Promise<RunningVm> {
    return await this.startVm(await this.createVm(changes))
  }

  /** A running VM with a disk, see `GuestProfile`. */
  async runningVmWithDisk(): Promise<RunningVm> {
    return await this.runningVm(this.profile.specWithDisk)
  }

  async startVm(vm: Vm): Promise<RunningVm> {
    if (!this.#needsGuest) throw new Error('A case that starts a guest must say that it needs one')
    await vm.start().unwrap()
    const guest = this.talkTo(vm)
    await guest.untilReady()
    return { vm, guest }
  }

  /** A running VM whose guest has an agent that answers. */
  async vmWithAgent(): Promise<Vm> {
    if (this.#sharedVm !== undefined) return this.#sharedVm
    const vm = await this.bootVmWithAgent()
    await this.#guestWithAgent().talkTo(vm).untilReady()
    if (this.#isShared) this.#sharedVm = vm
    return vm
  }

  /** Asserts that a case which shared the VM left it running, and removes its files. */
  async endSharedCase(): Promise<void> {
    if (this.#sharedVm !== undefined) await this.expectState(this.#sharedVm, 'running')
    for (const name of await readdir(this.#folder)) {
      if (this.path(name) !== tmpdir()) await rm(this.path(name), { recursive: true })
    }
  }

  /** A running VM whose guest has an agent, which may not answer yet. */
  async bootVmWithAgent(options?: StartOptions): Promise<Vm> {
    if (!this.#needsGuest) throw new Error('A case that starts a guest must say that it needs one')
    const vm = await this.createVm(this.#guestWithAgent().spec)
    await vm.start(options).unwrap()
    return vm
  }

  /** The program of the guest with an agent that listens at a port. */
  get listenProgram(): readonly string[] {
    const { listen } = this.#guestWithAgent()
    if (listen === undefined) throw new GuestLacksError('the guest has no program that listens at a port')
    return listen
  }

  #guestWithAgent(): GuestProfile {
    return this.host.guestWithAgent?.() ?? this.profile
  }

  talkTo(vm: Vm): Guest {
    return this.profile.talkTo(vm)
  }

  /** A running VM for cases about the serial console itself. */
  async runningSerialVm(): Promise<{ vm: Vm; guest: SerialGuest; console: ConsoleReader }> {
    const vm = await this.createVm()
    await vm.start().unwrap()
    const guest = this.serialGuestOf(vm)
    await guest.untilReady()
    return { vm, guest, console: guest.console }
  }

  serialGuestOf(vm: Vm): SerialGuest {
    const guest = this.talkTo(vm)
    if (guest instanceof SerialGuest) return guest
    throw new Error('The guests of this host are not on the serial console')
  }

  /** A new VM in a settled state; the needs of the case are `needsOf(state)`. */
  async vmIn(state: VmState, changes: Partial<VmSpec> = {}): Promise<Vm> {
    const vm = await this.createVm(changes)
    if (state === 'stopped') return vm
    if (!this.#needsGuest) await vm.start().unwrap()
    const guest = this.#needsGuest ? (await this.startVm(vm)).guest : undefined
    switch (state) {
      case 'running':
        break
      case 'paused':
        await vm.pause().unwrap()
        break
      case 'suspended':
        await vm.suspend().unwrap()
        break
      case 'crashed':
        if (guest === undefined) throw new Error('A case with a VM that crashed must say that it needs a guest')
        await guest.crash()
        await vm.waitForState('crashed', patience).unwrap()
        break
      default:
        throw new Error(`No VM settles in the state ${state}`)
    }
    guest?.close()
    return vm
  }

  /** One more connection to the same host. */
  async connectAgain(options?: ConnectOptions): Promise<Server> {
    if (this.opened.connectAgain === undefined) throw new Error('A host that keeps its VMs needs OpenHost.connectAgain')
    const server = await this.opened.connectAgain(options)
    this.#servers.push(server)
    return server
  }

  /** Closes the connection, and goes on with another. */
  async reopen(): Promise<Server> {
    await this.server.close().unwrap()
    return await this.connectAgain()
  }

  /** Asserts that facade and host agree on this state. */
  async expectState(vm: Vm, state: VmState): Promise<void> {
    expect(vm.state, 'the state that the facade knows').toBe(state)
    expect(await vm.getState().unwrap(), 'the state that the host tells').toBe(state)
  }

  /** Closes all connections, so that the case fails. */
  interrupt(): void {
    for (const server of this.#servers) void server.close()
  }

  /** Closes and removes everything, and asserts that nothing else is left. */
  async dispose(): Promise<void> {
    let left: readonly string[]
    try {
      for (const server of this.#servers) await server.close().unwrap()
      left = [...((await this.opened.dispose?.()) ?? []), ...(await readdir(tmpdir()))]
    } finally {
      restoreTmpdir()
      await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 })
    }
    expect(left, `left behind: ${left.join(', ')}`).toEqual([])
    const resources = openResources()
    expect(resources, `left behind: ${resources.join(', ')}`).toEqual(this.#resources)
  }
}
