import type { ConnectOptions } from '../../connect.js'
import type { NetworkAdapterConfig } from '../../model/vm-config.js'
import type { VmSpec } from '../../model/vm-spec.js'
import type { VmState } from '../../model/vm-state.js'
import type { OperationCode } from '../../operations.js'
import type { Server } from '../../server.js'
import type { Vm } from '../../vm.js'
import { noGuest, type GuestProfile } from './guest.js'

/** A host that was made for one case: it has no VM yet, and no other case uses it. */
export interface OpenHost {
  /** The connection that the case uses. The suite closes it. */
  readonly server: Server
  /** Makes another connection to the same host. Needed if {@link ConformanceHost.keepsVms}; the suite closes it. */
  connectAgain?(options?: ConnectOptions): Promise<Server>
  /** Makes a VM with a guest, if `server.createVm(spec)` makes one without. */
  createVmWithGuest?(server: Server, spec: VmSpec): Promise<Vm>
  /**
   * The paths of all files that the host keeps for its VMs. Cases compare them before and after. If absent, what is left on
   * disk is not checked.
   */
  files?(): Promise<readonly string[]>
  /** The path for `server.registerVm` of a VM that was unregistered. Needed if the host has `server.registerVm`. */
  registrationPath?(vm: Vm): string
  /** The URI of another host that VMs can be moved to. Needed if the host has `vm.migrate`. */
  readonly migrationTarget?: string
  /**
   * Removes the host. Called after the servers are closed. Answers what is left that should not be, one line each, for
   * example a process: the case fails if there is any. If absent, there is nothing to remove.
   */
  dispose?(): Promise<readonly string[]>
}

/**
 * A host for {@link describeConformance}. Only `name` and `open` are needed; the rest tells where hosts may differ, and what
 * is assumed if it is absent.
 */
export interface ConformanceHost {
  /** For the titles of the tests. It begins with the scheme of the host's URI: `'mine:'`, `'mine://test'`. */
  readonly name: string
  /** Makes a host without VMs for one case, and connects to it with these options. */
  open(options?: ConnectOptions): Promise<OpenHost>
  /** The driver's name, as in `server.driver`; the scheme in `name` if absent. */
  readonly driver?: string | undefined
  /** Why the host can't be tested on this machine: then its tests are skipped, with this as the reason. */
  readonly unavailable?: string | undefined
  /** The guest that VMs have in the cases; {@link noGuest} if absent: cases that need a guest are skipped. */
  readonly guest?: GuestProfile | undefined
  /** A POSIX guest with an agent, for the cases of `vm.guest`; if absent, `guest` is one. */
  readonly guestWithAgent?: (() => GuestProfile) | undefined
  /** A VM that boots without an agent; if absent, `guest` has none. */
  readonly specWithoutAgent?: Omit<VmSpec, 'name'> | undefined
  /**
   * True if files are simulated: those of its guests have no links and pipes, and an exported disk makes none. `false` if absent.
   */
  readonly hasPaperFiles?: boolean | undefined
  /** Options of `vm.guest.exec` that the host refuses with `NOT_SUPPORTED`. It honours all if absent. */
  readonly refusedExecOptions?: readonly ('user' | 'pty' | 'detached')[] | undefined
  /** What the host does not tell: when a VM was made, why it stopped. It tells both if absent. */
  readonly untold?: readonly ('createdAt' | 'reason')[] | undefined
  /** States in which the host refuses an operation, or an edit of the name, that `operations` allows there. None if absent. */
  readonly refusedFrom?: Partial<Record<OperationCode | 'vm.edit.name', readonly VmState[]>> | undefined
  /** States in which the host does an operation that `operations` refuses there. None if absent. */
  readonly allowedFrom?: Partial<Record<OperationCode, readonly VmState[]>> | undefined
  /**
   * Settings that the host refuses with `NOT_SUPPORTED`, whatever their value, by path: `'spec.boot.kernel'`, or
   * `'spec.disks'` with all that is in it. The error's `capability` is that path. If absent, it refuses none.
   */
  readonly refusedSettings?: readonly string[] | undefined
  /**
   * What an adapter is like that the host honours, if it has no user networks that are closed to the outside and forward ports:
   * `{ network: { bridge: 'br0' } }`. If absent, it has.
   */
  readonly networkAdapter?: NetworkAdapterConfig | undefined
  /** The longest name of a VM in bytes of UTF-8. If absent, every name that awaitvm takes is short enough. */
  readonly maxNameBytes?: number | undefined
  /** True if a disk is a copy of its image, which is not needed after that. `false` if absent. */
  readonly copiesImages?: boolean | undefined
  /** True if an edit can't change the order of disks. `false` if absent. */
  readonly keepsDiskOrder?: boolean | undefined
  /** True if VMs are still there for the next connection. `false` if absent: they are gone when the server is closed. */
  readonly keepsVms?: boolean | undefined
  /** What becomes of a running VM when its connection is closed. `'is-killed'` if absent. */
  readonly onClose?: 'runs-on' | 'is-killed' | undefined
  /** True if a connection can work on a VM that another connection runs. `false` if absent. */
  readonly sharesRunningVms?: boolean | undefined
  /** True if a shutdown that the guest has not noticed can be cancelled. `false` if absent. */
  readonly withdrawsPowerButton?: boolean | undefined
  /** The state that a guest's crash leads to. `'crashed'` if absent. */
  readonly afterCrash?: VmState | undefined
}

type MayBeAbsent = 'unavailable' | 'guestWithAgent' | 'specWithoutAgent' | 'networkAdapter'

/** A host with the defaults filled in, as the cases see it. */
export type DescribedHost = {
  readonly [K in keyof ConformanceHost]-?: K extends MayBeAbsent ? ConformanceHost[K] : NonNullable<ConformanceHost[K]>
}

export const describedHost = (host: ConformanceHost): DescribedHost => ({
  name: host.name,
  open: (options) => host.open(options),
  driver: host.driver ?? schemeOf(host),
  unavailable: host.unavailable,
  guest: host.guest ?? noGuest(),
  guestWithAgent: host.guestWithAgent,
  specWithoutAgent: host.specWithoutAgent,
  hasPaperFiles: host.hasPaperFiles ?? false,
  refusedExecOptions: host.refusedExecOptions ?? [],
  untold: host.untold ?? [],
  refusedFrom: host.refusedFrom ?? {},
  allowedFrom: host.allowedFrom ?? {},
  refusedSettings: host.refusedSettings ?? [],
  networkAdapter: host.networkAdapter,
  maxNameBytes: host.maxNameBytes ?? Infinity,
  copiesImages: host.copiesImages ?? false,
  keepsDiskOrder: host.keepsDiskOrder ?? false,
  keepsVms: host.keepsVms ?? false,
  onClose: host.onClose ?? 'is-killed',
  sharesRunningVms: host.sharesRunningVms ?? false,
  withdrawsPowerButton: host.withdrawsPowerButton ?? false,
  afterCrash: host.afterCrash ?? 'crashed',
})

export const schemeOf = ({ name }: Pick<ConformanceHost, 'name'>): string => name.split(':')[0] ?? name

/** The path by which the host refuses the setting: that of the setting, or of one that it is in. */
export const refusedPathOf = ({ refusedSettings }: DescribedHost, setting: string): string | undefined =>
  refusedSettings.find((path) => setting === path || setting.startsWith(`${path}.`))
