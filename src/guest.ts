import { inspect } from 'node:util'
import * as v from 'valibot'
import type { ExecOptions, ExecResult, NetworkAddress } from './model/exec.js'
import { pathSchema } from './model/vm-spec.js'
import { optional, plainText, text, textRecord } from './model/schema.js'
import { validate } from './errors/validate.js'
import { methodOptions, type JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import { reachableAddresses } from './network/reachable-addresses.js'
import type { JobTarget } from './operations.js'
import type { CopyInErrors, CopyOutErrors, ExecErrors, GetNetworkAddressesErrors } from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import { callDriver, type DriverConnection } from './driver-call.js'

const argvSchema = v.pipe(v.array(plainText, 'must be an array'), v.minLength(1, 'must name a program'))
const readExecOptions = methodOptions({
  input: optional(v.union([text, v.instance(Uint8Array)], 'must be a string or a Uint8Array')),
  env: optional(textRecord),
  cwd: optional(plainText),
})
const guestPathSchema = v.pipe(plainText, v.minLength(1, 'must not be empty'))

const itself = <T>(value: T): T => value

/** What the agent inside a VM does; reached as `vm.guest`. The VM must be `running`, and its agent answer: else `GUEST_UNAVAILABLE`. */
export class VmGuest implements OperationMethods<'guest'> {
  readonly #connection: DriverConnection
  readonly #vm: { readonly id: string; readonly target: JobTarget }

  /** @internal */
  constructor(connection: DriverConnection, vm: { readonly id: string; readonly target: JobTarget }) {
    this.#connection = connection
    this.#vm = vm
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** For people: `VmGuest of "web-1"`. */
  toString(): string {
    return `VmGuest of ${JSON.stringify(this.#vm.target.name)}`
  }

  /** Its VM, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    return { target: this.#vm.target }
  }

  /** Runs a program in the guest, with an argument list and no shell, and waits for its end. */
  exec(argv: readonly string[], options?: ExecOptions & JobOptions): Job<ExecResult, ExecErrors> {
    const { id, target } = this.#vm
    const { own, job } = readExecOptions(options)
    const input = validate(argvSchema, argv, 'argv').andThen((words) =>
      own.map((valid) => ({ vm: id, argv: words, options: valid })),
    )
    return callDriver(this.#connection, {
      method: 'guest.exec',
      operation: 'guest.exec',
      target,
      input: input.match(itself, itself),
      options: job,
      map: itself,
    })
  }

  /**
   * The addresses by which others may reach the guest, IPv4 before IPv6; none while it has only link-local ones, as before its
   * DHCP server has answered.
   */
  getNetworkAddresses(options?: JobOptions): Job<readonly NetworkAddress[], GetNetworkAddressesErrors> {
    return callDriver(this.#connection, {
      method: 'guest.getNetworkAddresses',
      operation: 'guest.getNetworkAddresses',
      target: this.#vm.target,
      input: { vm: this.#vm.id },
      options,
      map: reachableAddresses,
    })
  }

  /**
   * Copies a file of this machine, by its absolute path, into the guest. As with `cp`, an existing file keeps its owner and
   * permissions; a new one has the permissions of the local file.
   */
  copyIn(from: string, to: string, options?: JobOptions): Job<void, CopyInErrors> {
    const { id, target } = this.#vm
    const input = validate(pathSchema, from, 'from').andThen((source) =>
      validate(guestPathSchema, to, 'to').map((destination) => ({ vm: id, from: source, to: destination })),
    )
    return callDriver(this.#connection, {
      method: 'guest.copyIn',
      operation: 'guest.copyIn',
      target,
      input: input.match(itself, itself),
      options,
      map: () => undefined,
    })
  }

  /**
   * Copies a file of the guest to an absolute path of this machine. An existing file keeps its owner and permissions; a new one
   * can be read by its owner only.
   */
  copyOut(from: string, to: string, options?: JobOptions): Job<void, CopyOutErrors> {
    const { id, target } = this.#vm
    const input = validate(guestPathSchema, from, 'from').andThen((source) =>
      validate(pathSchema, to, 'to').map((destination) => ({ vm: id, from: source, to: destination })),
    )
    return callDriver(this.#connection, {
      method: 'guest.copyOut',
      operation: 'guest.copyOut',
      target,
      input: input.match(itself, itself),
      options,
      map: () => undefined,
    })
  }
}
