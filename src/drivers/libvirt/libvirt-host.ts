import { HostWork } from '../../driver/host-work.js'
import { Inventory } from '../../driver/inventory.js'
import { Listeners } from '../../driver/listeners.js'
import { stayConnected } from '../../driver/reconnect.js'
import { vmNotFound } from '../../errors/lookup.js'
import { ProtocolError, VmNotFoundError } from '../../errors.js'
import type { VmRecord } from '../../model/vm-record.js'
import { capabilitiesOf, type Capabilities } from './capabilities.js'
import { ConnectionPool } from './connection-pool.js'
import { isOff, vmStateOf, type DomainState } from './domain-states.js'
import { readDomain } from './domain/read-domain.js'
import { lifecycleSight } from './lifecycle-event.js'
import type { LibvirtAddress } from './libvirt-uri.js'
import type { EventFields, EventHandlers } from './rpc/event-messages.js'
import type { Domain } from './rpc/procedures.js'
import { RemoteError } from './rpc/remote-error.js'
import { Volumes } from './storage/volumes.js'
import type { Dialer } from './rpc/transports/dialer.js'
import { numberIn } from './rpc/typed-parameter.js'

/** `VIR_DOMAIN_STATS_STATE`, `VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE`, `VIR_DOMAIN_XML_INACTIVE`, `VIR_DOMAIN_XML_SECURE`, `VIR_ERR_NO_DOMAIN` */
const stateStatistics = 1
const withSavedMemory = 256
const asDefined = 2
const withSecrets = 1
const noDomain = 42

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** What is read in a domain's XML. */
interface Parsed extends Pick<VmRecord, 'config' | 'problem'> {
  /** Whether awaitvm has not finished it: it is not shown. */
  readonly isDraft: boolean
  /** Whether a process makes it or deletes it, or changes its files; or did so when it ended. */
  readonly isUnfinished: boolean
}

/** By its id alone: libvirt uses the rest in messages only. */
export const domainOf = (vm: string, name = ''): Domain => ({ uuid: vm, name, id: -1 })

/** What the parts of the driver share: the connections, the work under way, and what is known of the VMs. */
export class LibvirtHost {
  readonly address: LibvirtAddress
  readonly capabilities: Capabilities
  readonly work = new HostWork()
  readonly volumes = new Volumes(() => this.#pool)
  readonly #listeners = new Listeners()
  readonly subscribe = this.#listeners.subscribe
  readonly inventory = new Inventory(this.#listeners.emit)
  readonly #dialer: Dialer
  #pool: ConnectionPool
  #staying: Promise<void> | undefined
  /** The settings in the XML that was read last of each VM: it is parsed again only when it has changed. */
  readonly #parsed = new Map<string, { readonly xml: string; readonly record: Parsed }>()
  /** When VMs were deleted, as times of the inventory: an answer to an earlier question does not bring them back. */
  readonly #deletedAt = new Map<string, number>()
  readonly #reboots = new Map<string, number>()
  readonly #watchers = new Map<string, Set<() => void>>()

  private constructor(address: LibvirtAddress, dialer: Dialer, pool: ConnectionPool, capabilities: Capabilities) {
    this.address = address
    this.capabilities = capabilities
    this.#dialer = dialer
    this.#pool = pool
  }

  /** Connects. The dialer belongs to the host then. */
  static async open(address: LibvirtAddress, dialer: Dialer, signal: AbortSignal): Promise<LibvirtHost> {
    let host: LibvirtHost | undefined
    const handlers: EventHandlers = {
      lifecycle: (event) => host?.hear(event),
      reboot: ({ dom }) => host?.hearReboot(dom.uuid),
      metadataChange: ({ dom }) => host?.lookAside(dom.uuid),
    }
    const connect = (until: AbortSignal): Promise<ConnectionPool> =>
      ConnectionPool.open(dialer, address, handlers, until)
    const pool = await connect(signal)
    try {
      const { capabilities } = await pool.control.call('connect_get_capabilities', {})
      host = new LibvirtHost(address, dialer, pool, capabilitiesOf(capabilities))
      await host.list()
    } catch (error) {
      await pool.close()
      throw error
    }
    host.#staying = host.#stayConnected(connect)
    return host
  }

  /** The connections of the moment. */
  get pool(): ConnectionPool {
    return this.#pool
  }

  /** Ends the connections, and what is under way on them. */
  async close(): Promise<void> {
    const ended = this.work.close()
    await this.#pool.close()
    await ended
    await this.#staying
    await this.#pool.close()
    await this.#dialer.close()
  }

  /** All VMs. */
  async list(): Promise<VmRecord[]> {
    const askedAt = this.inventory.ask()
    const { control } = this.#pool
    const [{ retStats }, saved] = await Promise.all([
      control.call('connect_get_all_domain_stats', { doms: [], stats: stateStatistics, flags: 0 }),
      control.call('connect_list_all_domains', { need_results: true, flags: withSavedMemory }),
    ])
    const savedIds = new Set(saved.domains.map(({ uuid }) => uuid))
    const looked = await Promise.all(
      retStats.map(async ({ dom, params }) => {
        const state = numberIn(params, 'state.state') ?? 0
        const reason = numberIn(params, 'state.reason') ?? 0
        // One that was deleted since is no part of the list.
        return await ifThere(this.#record(dom, { state, reason }, savedIds.has(dom.uuid)))
      }),
    )
    const records = looked.filter((record) => record !== undefined).filter(({ id }) => this.#mayBeThere(id, askedAt))
    this.#forgetOthers(new Set(retStats.map(({ dom }) => dom.uuid)))
    this.inventory.observeAll(records, askedAt)
    return records
  }

  /** One VM. */
  async look(vm: string): Promise<VmRecord> {
    const askedAt = this.inventory.ask()
    try {
      const dom = domainOf(vm)
      const { state, isSaved } = await this.stateOf(vm)
      const record = await this.#record(dom, state, isSaved)
      if (this.#mayBeThere(vm, askedAt)) this.inventory.observe(record, askedAt)
      return record
    } catch (error) {
      if (isGone(error)) this.forget(vm)
      throw error
    }
  }

  /** The VM with this id, if there is one. */
  async withId(id: string): Promise<VmRecord | undefined> {
    return uuidPattern.test(id) ? await ifThere(this.look(id.toLowerCase())) : undefined
  }

  /** The id of the VM with this name, if there is one; also of one that awaitvm has not finished. */
  async idOf(name: string): Promise<string | undefined> {
    return (await ifThere(this.#pool.control.call('domain_lookup_by_name', { name })))?.dom.uuid
  }

  /** The state in libvirt's words, and whether its memory is saved. */
  async stateOf(vm: string): Promise<{ readonly state: DomainState; readonly isSaved: boolean }> {
    const dom = domainOf(vm)
    const { control } = this.#pool
    const state = await control.call('domain_get_state', { dom, flags: 0 })
    const { result } = isOff(state)
      ? await control.call('domain_has_managed_save_image', { dom, flags: 0 })
      : { result: false }
    return { state, isSaved: result }
  }

  /** The XML of the persistent definition. */
  async xmlOf(vm: string): Promise<string> {
    return (await this.#pool.control.call('domain_get_xml_desc', { dom: domainOf(vm), flags: asDefined })).xml
  }

  /** The same with passwords, which a definition has to have. */
  async wholeXmlOf(vm: string): Promise<string> {
    const flags = asDefined | withSecrets
    return (await this.#pool.control.call('domain_get_xml_desc', { dom: domainOf(vm), flags })).xml
  }

  /** The VMs that were being made, deleted or given other files when they were looked at last. */
  get unfinished(): string[] {
    return [...this.#parsed].flatMap(([vm, { record }]) => (record.isUnfinished ? [vm] : []))
  }

  /** Notes that a VM is gone. */
  forget(vm: string): void {
    this.#deletedAt.set(vm, this.inventory.ask())
    this.#parsed.delete(vm)
    this.#reboots.delete(vm)
    this.inventory.forget(vm)
  }

  /** How many times the guest was seen to start anew. */
  rebootsOf(vm: string): number {
    return this.#reboots.get(vm) ?? 0
  }

  /** Resolves when libvirt tells something of the VM, or the signal is aborted. */
  untilTold(vm: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const watchers = this.#watchers.get(vm) ?? new Set()
      const end = (): void => {
        signal.removeEventListener('abort', end)
        watchers.delete(end)
        if (watchers.size === 0) this.#watchers.delete(vm)
        resolve()
      }
      this.#watchers.set(vm, watchers.add(end))
      signal.addEventListener('abort', end)
      if (signal.aborted) end()
    })
  }

  private hear(event: EventFields<'lifecycle'>): void {
    const { uuid: id } = event.dom
    const sight = this.inventory.has(id) ? lifecycleSight(event, this.inventory.isBusy(id)) : undefined
    if (sight !== undefined) this.inventory.observe(sight)
    // A VM that is new, changed or gone; or one that may be gone with its end.
    if (sight === undefined || sight.state === 'stopped') this.lookAside(id)
    this.wake(id)
  }

  private hearReboot(vm: string): void {
    this.#reboots.set(vm, this.rebootsOf(vm) + 1)
    this.wake(vm)
  }

  private wake(vm: string): void {
    for (const told of this.#watchers.get(vm) ?? []) told()
  }

  /** Looks at a VM for the sake of events. A failure is that of the connection, which is told elsewhere. */
  private lookAside(vm: string): void {
    this.work.aside(() => this.look(vm)).catch(() => undefined)
  }

  /** Keeps a connection. After a loss, what has changed is found by a list. */
  async #stayConnected(connect: (until: AbortSignal) => Promise<ConnectionPool>): Promise<void> {
    const { closing } = this.work
    let isListed = true
    const once = async (works: () => void): Promise<void> => {
      if (!this.#pool.control.isOpen) {
        await this.#pool.close()
        this.#pool = await connect(closing)
        isListed = false
        // If the host is being closed by now, its close ends this connection, too.
        closing.throwIfAborted()
      }
      // Also if the list has failed before, and the connection still holds.
      if (!isListed) await this.list()
      isListed = true
      works()
      await this.#pool.control.lost
    }
    await stayConnected(once, {
      signal: closing,
      initialMs: 100,
      maxMs: 10_000,
      onLost: () => {
        for (const vm of this.#watchers.keys()) this.wake(vm)
      },
    })
  }

  async #record(dom: Domain, state: DomainState, isSaved: boolean): Promise<VmRecord> {
    const xml = await this.xmlOf(dom.uuid)
    const { config, problem, isDraft } = this.#parse(dom, xml)
    if (isDraft) throw vmNotFound(dom.uuid)
    if (problem !== undefined) return { id: dom.uuid, state: 'unknown', config, problem }
    return { id: dom.uuid, state: vmStateOf(state, isSaved), config }
  }

  #parse({ uuid, name }: Domain, xml: string): Parsed {
    const known = this.#parsed.get(uuid)
    if (known?.xml === xml) return known.record
    const record = parsed(xml, name)
    this.#parsed.set(uuid, { xml, record })
    return record
  }

  #mayBeThere(vm: string, askedAt: number): boolean {
    return (this.#deletedAt.get(vm) ?? 0) < askedAt
  }

  #forgetOthers(there: ReadonlySet<string>): void {
    for (const vm of this.#parsed.keys()) if (!there.has(vm)) this.#parsed.delete(vm)
    for (const vm of there) this.#deletedAt.delete(vm)
  }
}

/** Whether there is no such VM: libvirt says so, or it is one that awaitvm has not finished. */
export const isGone = (error: unknown): boolean =>
  error instanceof VmNotFoundError || (error instanceof RemoteError && error.code === noDomain)

/** `undefined` if there is no such VM. */
const ifThere = <T>(looking: Promise<T>): Promise<T | undefined> =>
  looking.catch((error: unknown) => {
    if (isGone(error)) return undefined
    throw error
  })

/** The settings; of XML that can't be read, the name and what is wrong. */
function parsed(xml: string, name: string): Parsed {
  try {
    const { config, metadata } = readDomain(xml)
    const { draft, editor } = metadata
    return { config, isDraft: draft !== undefined, isUnfinished: (draft ?? editor) !== undefined }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const nothing = { description: '', cpus: 1, memoryMiB: 0, disks: [], cdroms: [], floppies: [], boot: {} }
    return { config: { name, ...nothing }, problem: error, isDraft: false, isUnfinished: false }
  }
}
