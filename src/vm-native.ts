import { inspect } from 'node:util'
import { callDriver, type DriverConnection } from './driver-call.js'
import type { JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { JsonObject, JsonValue } from './model/json.js'
import type { NativeDetails } from './model/native-details.js'
import type * as operation from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import type { JobTarget } from './operations.js'
import { readQmpCommand } from './qmp-command.js'

const itself = <T>(value: T): T => value

/** A VM, as far as what is its host's own needs it. */
interface OwnVm {
  readonly target: JobTarget
  readonly details: NativeDetails | undefined
}

/** What only one kind of host has, and awaitvm does not model; reached as `vm.native`. */
export class VmNative implements OperationMethods<'native'> {
  readonly #connection: DriverConnection
  readonly #vm: () => OwnVm

  /** @internal */
  constructor(connection: DriverConnection, vm: () => OwnVm) {
    this.#connection = connection
    this.#vm = vm
  }

  /**
   * What only this kind of host tells, as of its last answer with the VM's settings; absent if there is nothing. Of QEMU, the command
   * line; of Parallels, whether the VM is a template.
   *
   * @example
   * ```ts
   * import type { Vm } from 'awaitvm'
   *
   * export const commandLineOf = ({ native: { details } }: Vm): readonly string[] =>
   *   details?.driver === 'qmp' ? details.commandLine : []
   * ```
   */
  get details(): NativeDetails | undefined {
    return this.#vm().details
  }

  /**
   * Sends a command of QEMU's machine protocol to a VM that is `running` or `paused`, and answers what QEMU answers:
   * `{}` if the command answers nothing, at most 64 MiB. Whole numbers beyond 2^53 lose their last digits.
   *
   * Commands that awaitvm keeps to itself, and those that name its own disks, drives, adapters and ports, end with an
   * `InvalidArgumentError` that says what to call instead, and so does a command that this QEMU does not have. What QEMU refuses ends
   * with its own words and class of error in `native`, as a `HostError` if they mean nothing more.
   *
   * A command that only asks can be cancelled, and does not wait for other operations of the VM. Any other has the VM for itself, and
   * can't be cancelled: if `timeoutMs` (a minute by default) is over before QEMU has answered, it ends with an `OutcomeUnknownError`.
   * What it changes is yours to keep: awaitvm does not know of it, and neither the next start nor a clone has it.
   *
   * @param command its name in QEMU's own reference (qemu/docs/interop/qemu-qmp-ref): `'query-block'`
   * @param args its arguments, of at most 256 Ki characters as JSON; none if absent
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * const vm = await server.getVm('web-1').unwrap()
   * console.log(await vm.native.qmp('query-cpus-fast').unwrap())
   * await vm.native.qmp('set_link', { name: 'net0', up: false }).unwrap() // pulls the cable
   * ```
   */
  qmp(command: string, args?: JsonObject, options?: JobOptions): Job<JsonValue, operation.QmpErrors> {
    const { target } = this.#vm()
    return callDriver(this.#connection, {
      method: 'native.qmp',
      operation: 'native.qmp',
      target,
      input: readQmpCommand(command, args).match((valid) => ({ vm: target.id, ...valid }), itself),
      options,
      map: itself,
    })
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** For people: `VmNative of "web-1"`. */
  toString(): string {
    return `VmNative of ${JSON.stringify(this.#vm().target.name)}`
  }
}
