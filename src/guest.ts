import { inspect } from 'node:util'
import * as v from 'valibot'
import { callDriver, type DriverConnection } from './driver-call.js'
import { InvalidArgumentError } from './errors.js'
import { validate } from './errors/validate.js'
import { execJob, ptySizeSchema, type ExecJob } from './exec/exec-job.js'
import { ProgramSession } from './exec/program-session.js'
import { asBytes, asText } from './exec/text-pieces.js'
import { GuestFiles, inputSchema, type GuestOfVm } from './guest-files.js'
import { methodOptions, type JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { ExecOptions } from './model/exec.js'
import type { GuestInfo } from './model/guest-info.js'
import type { NetworkAddress } from './model/network-address.js'
import { flag, namedTexts, nonEmpty, optional, plainText, whole, wholeFrom0, withoutNul } from './model/schema.js'
import { reachableAddresses } from './network/reachable-addresses.js'
import type * as errors from './operation-errors.js'
import type { OperationMethods } from './operation-methods.js'
import { err, ok, type Result } from './result.js'

type OutputListener = (output: never) => void | Promise<void>

/** Linux takes no longer argument of a program (MAX_ARG_STRLEN in its binfmts.h, which counts a zero byte). */
const maxArgumentBytes = 131_071
const fitting = v.maxBytes<string, number, string>(
  maxArgumentBytes,
  `must have at most ${String(maxArgumentBytes)} bytes, as an argument of a program on Linux: give it what is longer as input, or in a file`,
)

const programSchema = v.pipe(v.array(v.pipe(plainText, fitting)), v.minLength(1, 'must name a program'))
const lineSchema = v.pipe(
  v.string("must be an array of a program and its arguments, or a line for the guest's shell"),
  v.minLength(1, 'must not be empty'),
  withoutNul,
  fitting,
)
const commandSchema = v.lazy((command): v.GenericSchema<string | string[]> =>
  Array.isArray(command) ? programSchema : lineSchema,
)
const readExecOptions = methodOptions({
  input: optional(inputSchema),
  stdin: optional(v.literal('pipe', 'must be "pipe"')),
  encoding: optional(v.picklist(['utf8', 'buffer'], 'must be "utf8" or "buffer"')),
  env: optional(namedTexts(plainText, plainText)),
  cwd: optional(plainText),
  user: optional(v.pipe(plainText, v.regex(/^[^:\s-][^:\s]*$/, 'must be the name of a user'))),
  pty: optional(ptySizeSchema),
  detached: flag,
  check: flag,
  maxOutputBytes: optional(wholeFrom0(2 ** 29)),
  onOutput: optional(v.custom<OutputListener>((value) => typeof value === 'function', 'must be a function')),
})
const readPortOptions = methodOptions({ host: optional(nonEmpty) })

const itself = <T>(value: T): T => value

const withOneInput = <O extends Pick<ExecOptions, 'input' | 'stdin'>>(options: O): Result<O, InvalidArgumentError> =>
  options.input === undefined || options.stdin === undefined
    ? ok(options)
    : err(
        new InvalidArgumentError({
          path: 'options.stdin',
          reason: 'options.stdin is given together with options.input',
        }),
      )

/**
 * What is done inside a VM; reached as `vm.guest`. The VM must be `running`, and its guest must answer: else `GUEST_UNAVAILABLE`.
 *
 * @example
 * ```ts
 * import type { Vm } from 'awaitvm'
 *
 * export async function build(vm: Vm): Promise<string> {
 *   await vm.guest.waitUntilReady({ timeoutMs: 120_000 }).unwrap()
 *   await vm.guest.copyIn('/srv/project', '/src').unwrap()
 *   const build = vm.guest.exec('make test', { cwd: '/src', check: true })
 *   build.stdout.pipe(process.stdout)
 *   await build.unwrap()
 *   return await vm.guest.readFile('/src/report.txt').unwrap()
 * }
 * ```
 */
export class VmGuest extends GuestFiles implements OperationMethods<'guest'> {
  readonly #connection: DriverConnection
  readonly #vm: GuestOfVm

  /** @internal */
  constructor(connection: DriverConnection, vm: GuestOfVm) {
    super(connection, vm)
    this.#connection = connection
    this.#vm = vm
  }

  /** For `console.log`: {@link toString}. */
  [inspect.custom](): string {
    return this.toString()
  }

  /** For people: `VmGuest of "web-1"`. */
  override toString(): string {
    return `VmGuest of ${JSON.stringify(this.#vm.target.name)}`
  }

  /** Its VM, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    return { target: this.#vm.target }
  }

  /**
   * Runs a program in the guest, and waits for its end; its output can be read while it runs. An exit code other than 0 is no error,
   * unless `check` is set.
   *
   * @param command a program and its arguments, without a shell; or a line for the guest's shell
   */
  exec(
    command: string | readonly string[],
    options: ExecOptions<Uint8Array> & { readonly encoding: 'buffer'; readonly check: boolean } & JobOptions,
  ): ExecJob<Uint8Array, errors.ExecErrors>
  /** Runs a program, with output as bytes. */
  exec(
    command: string | readonly string[],
    options: ExecOptions<Uint8Array> & {
      readonly encoding: 'buffer'
      readonly check?: false | undefined
    } & JobOptions,
  ): ExecJob<Uint8Array>
  /** Runs a program that must succeed. */
  exec(
    command: string | readonly string[],
    options: ExecOptions<string> & { readonly encoding?: 'utf8' | undefined; readonly check: boolean } & JobOptions,
  ): ExecJob<string, errors.ExecErrors>
  /** Runs a program, with output as text. */
  exec(
    command: string | readonly string[],
    options?: ExecOptions<string> & {
      readonly encoding?: 'utf8' | undefined
      readonly check?: false | undefined
    } & JobOptions,
  ): ExecJob
  /** Runs a program with options that are known at run time only. */
  exec(
    command: string | readonly string[],
    options: ExecOptions & JobOptions,
  ): ExecJob<string | Uint8Array, errors.ExecErrors>
  exec(
    command: string | readonly string[],
    options?: Omit<ExecOptions, 'onOutput'> & { readonly onOutput?: OutputListener | undefined } & JobOptions,
  ): ExecJob<string | Uint8Array, errors.ExecErrors> {
    const { id, target } = this.#vm
    const { runner } = this.#connection
    const { own, job } = readExecOptions(options)
    const { encoding, ...rest } = own.unwrapOr<Omit<ExecOptions, 'onOutput'>>({})
    const session = new ProgramSession<string | Uint8Array>(rest, encoding === 'buffer' ? asBytes : asText)
    const input = validate(commandSchema, command, 'command').andThen((valid) =>
      own.andThen(withOneInput).map(({ env, cwd, user, pty, detached }) => ({
        vm: id,
        command: valid,
        options: { env, cwd, user, pty, detached },
        io: session,
      })),
    )
    const begun = callDriver(this.#connection, {
      method: 'guest.exec',
      operation: 'guest.exec',
      target,
      input: input.match(itself, itself),
      options: job,
      map: (end) => session.result(end),
    })
    return execJob(begun, session, runner)
  }

  /** What the guest tells of itself: its system, host name, users, and time. */
  getInfo(options?: JobOptions): Job<GuestInfo, errors.GetGuestInfoErrors> {
    return callDriver(this.#connection, {
      method: 'guest.getInfo',
      operation: 'guest.getInfo',
      target: this.#vm.target,
      input: { vm: this.#vm.id },
      options,
      map: itself,
    })
  }

  /**
   * Waits until one can work in the guest: it answers, and what was to be done at its first boot is done. It waits as long as the VM
   * runs: set `timeoutMs`.
   */
  waitUntilReady(options?: JobOptions): Job<void, errors.WaitUntilReadyErrors> {
    return callDriver(this.#connection, {
      method: 'guest.waitUntilReady',
      operation: 'guest.waitUntilReady',
      target: this.#vm.target,
      input: { vm: this.#vm.id },
      options,
      map: () => undefined,
    })
  }

  /**
   * Waits until something in the guest listens on a TCP port; before that, until the guest answers. It waits as long as the VM runs: set
   * `timeoutMs`.
   *
   * @param port from 1 to 65535
   */
  waitForPort(
    port: number,
    options?: {
      /** An address of the guest that it must listen at, or `'localhost'`; any of its addresses if absent. */
      readonly host?: string | undefined
    } & JobOptions,
  ): Job<void, errors.WaitForPortErrors> {
    const { own, job } = readPortOptions(options)
    const input = validate(whole(65_535), port, 'port').andThen((valid) =>
      own.map(({ host }) => ({ vm: this.#vm.id, port: valid, host })),
    )
    return callDriver(this.#connection, {
      method: 'guest.waitForPort',
      operation: 'guest.waitForPort',
      target: this.#vm.target,
      input: input.match(itself, itself),
      options: job,
      map: () => undefined,
    })
  }

  /**
   * The addresses by which others may reach the guest, IPv4 before IPv6; none while it has only link-local ones, as before its
   * DHCP server has answered.
   */
  getNetworkAddresses(options?: JobOptions): Job<readonly NetworkAddress[], errors.GetNetworkAddressesErrors> {
    return callDriver(this.#connection, {
      method: 'guest.getNetworkAddresses',
      operation: 'guest.getNetworkAddresses',
      target: this.#vm.target,
      input: { vm: this.#vm.id },
      options,
      map: reachableAddresses,
    })
  }
}
