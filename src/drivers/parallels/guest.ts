import { createReadStream } from 'node:fs'
import { isIP } from 'node:net'
import { finished } from 'node:stream/promises'
import * as v from 'valibot'
import type { DriverOperations, Task } from '../../driver.js'
import { GuestUnavailableError, HostError, InvalidArgumentError, NotSupportedError } from '../../errors.js'
import { programEndUnknown } from '../../errors/program-end.js'
import { requireFile } from '../../files/require-file.js'
import { writeWholeFile } from '../../files/whole-file.js'
import type { ExecOptions, ExecResult, NetworkAddress } from '../../model/exec.js'
import { Cksum } from './cksum.js'
import { endOf, guestProgram } from './guest-program.js'
import type { ParallelsHost } from './host.js'
import type { ParallelsFailure } from './parallels-failure.js'
import { failureOf } from './parallels-failure.js'
import type { RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { expectedStates, type VmWork } from './vm-work.js'

/** How much of each output of a program is kept. */
const outputLimit = 16 * 2 ** 20

/** A program in a guest may run for as long as this; a caller bounds it by `timeoutMs`. */
const programTimeoutMs = 7 * 24 * 3_600_000

/** With a longer command line, `exec` of Parallels Desktop is known to hang, and to heed no signal. */
const maxCommandLine = 3800

const rowsSchema = v.array(v.object({ ip_configured: v.optional(v.string(), '') }))

/** What Parallels Tools do in a guest. */
export class ParallelsGuest {
  readonly #host: ParallelsHost
  readonly #work: VmWork

  constructor(host: ParallelsHost, work: VmWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'guest.exec': ({ vm, argv, options }, task) =>
      this.#inGuest(vm, task, 'argv', (signal) => this.#exec(vm, argv, options, { signal })),
    'guest.getNetworkAddresses': ({ vm }, task) => this.#inGuest(vm, task, undefined, () => this.#addresses(vm)),
    'guest.copyIn': ({ vm, from, to }, task) =>
      this.#inGuest(vm, task, 'to', (signal) => this.#copyIn(vm, from, to, signal)),
    'guest.copyOut': ({ vm, from, to }, task) =>
      this.#inGuest(vm, task, 'from', (signal) => this.#copyOut(vm, from, to, signal)),
  }

  #inGuest<T>(
    vm: string,
    task: Task,
    path: string | undefined,
    action: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { signal, operation } = task
    const send = task.holdBack()
    const expected = expectedStates(task)
    return this.#work.guard({ operation, vm, expected, path }, async () => {
      requireTools(await this.#work.lookFirst(vm, expected), task)
      signal.throwIfAborted()
      send()
      return await action(signal)
    })
  }

  async #exec(
    vm: string,
    argv: readonly string[],
    options: ExecOptions,
    run: Pick<RunOptions, 'signal' | 'onOutput' | 'output'> & { readonly input?: RunOptions['input'] },
  ): Promise<ExecResult> {
    const program = guestProgram(argv, options)
    const length = Buffer.byteLength(program.commandLine)
    if (this.#host.prlctl.flavour === 'desktop' && length > maxCommandLine) {
      throw new InvalidArgumentError({
        path: 'argv',
        reason: `argv and its quoting have ${String(length)} bytes, and Parallels Desktop takes ${String(maxCommandLine)}`,
        hint: 'Hand long texts over as the input, or copy them in with vm.guest.copyIn().',
      })
    }
    const { input } = options
    const outcome = await this.#host.prlctl.run(['exec', argumentOf(vm), program.commandLine], {
      input: typeof input === 'string' ? Buffer.from(input) : input,
      ...run,
      heedsInterrupts: true,
      timeoutMs: programTimeoutMs,
      limit: outputLimit,
    })
    const { hasBegun, exitCode, stderr } = endOf(program, outcome)
    // Whatever prlctl says besides, the program has ended by itself.
    if (exitCode !== undefined) {
      return { exitCode, stdout: outcome.stdout, stderr, isTruncated: outcome.isTruncated }
    }
    const failure = failureOf(outcome, 'prlctl')
    if (failure !== undefined && isOfWindowsShell(failure))
      throw withoutShell('guest.exec', 'its guest has the shell of Windows', failure)
    const isStopped = failure?.kind === 'cancelled' && outcome.wasInterrupted
    if (failure !== undefined && (isStopped || !(hasBegun || isSpurious(failure)))) throw failure
    const reason = `prlctl does not say ${hasBegun ? 'how the program ended' : 'whether the program has run'}`
    throw programEndUnknown(failure === undefined ? reason : `${reason}: ${failure.message}`, {
      cause: failure,
      native: failure?.native,
    })
  }

  async #addresses(vm: string): Promise<readonly NetworkAddress[]> {
    if (this.#host.prlctl.flavour === 'desktop') {
      return (await this.#host.look(vm, { isFull: true })).addresses
    }
    const rows = v.safeParse(rowsSchema, await this.#host.prlctl.row(vm))
    const words = rows.success ? rows.output.flatMap((row) => row.ip_configured.split(/[\s,]+/)) : []
    return words
      .filter((address) => isIP(address) !== 0)
      .map((address) => ({ interfaceName: 'net', address, family: address.includes(':') ? 'ipv6' : 'ipv4' }))
  }

  async #copyIn(vm: string, from: string, to: string, signal: AbortSignal): Promise<void> {
    await requireFile(from)
    const sum = new Cksum()
    const input = createReadStream(from).on('data', (piece) => {
      sum.update(Buffer.from(piece))
    })
    // What a program is given on its standard input is known to get lost at times.
    const argv = ['sh', '-c', 'cat >"$1" && cksum <"$1"', 'sh', to]
    try {
      this.#requireSum(await this.#exec(vm, argv, {}, { signal, input }), sum, 'to', to)
    } finally {
      input.destroy()
    }
  }

  async #copyOut(vm: string, from: string, to: string, signal: AbortSignal): Promise<void> {
    await writeWholeFile(to, 'parallels', async (file) => {
      const output = file.createWriteStream()
      const sum = new Cksum()
      const argv = ['sh', '-c', 'cat "$1" && cksum <"$1" >&2', 'sh', from]
      const onOutput = (piece: Buffer): void => {
        sum.update(piece)
      }
      const result = await this.#exec(vm, argv, {}, { signal, output, onOutput })
      output.end()
      await finished(output)
      this.#requireSum({ ...result, stdout: result.stderr }, sum, 'from', from)
    })
  }

  /** Throws where the guest tells of another content than was sent or received. */
  #requireSum({ exitCode, stdout, stderr }: ExecResult, sum: Cksum, path: string, file: string): void {
    const words = Buffer.from(stderr).toString().trim()
    const native = { driver: 'parallels', code: exitCode, message: words }
    if (exitCode !== 0) {
      throw new InvalidArgumentError({ path, reason: `${path} is ${file}, and the guest says: ${words}`, native })
    }
    const told = Buffer.from(stdout).toString().trim()
    if (told === sum.digest()) return
    throw new HostError({
      reason: `a part of ${file} got lost on the way`,
      hint: 'Try again.',
      native: { ...native, message: `cksum: ${told}, and not ${sum.digest()}` },
    })
  }
}

function requireTools({ tools, isWindows }: VmInfo, { operation }: Task): void {
  if (tools === 'not_installed') {
    throw new GuestUnavailableError({
      reason: 'Parallels Tools are not installed in it',
      hint: 'Install them with "prlctl installtools", and start the guest again.',
    })
  }
  if (isWindows && operation !== 'guest.getNetworkAddresses') throw withoutShell(operation, 'its guest is Windows')
}

const withoutShell = (capability: string, reason: string, failure?: ParallelsFailure): NotSupportedError =>
  new NotSupportedError({
    capability,
    reason: `${reason}, and programs and files are handed over to a POSIX shell`,
    hint: 'Use the guest’s own means of remote administration, or share a folder with it.',
    native: failure?.native,
    cause: failure,
  })

/** What the shell of Windows says of a program that it does not have; a VM's type is only what its owner says that it is. */
const isOfWindowsShell = ({ message }: ParallelsFailure): boolean =>
  /is not recognized as an internal or external command/i.test(message)

/** prlctl is known to fail so now and then, whether or not the program has run. */
const isSpurious = ({ message }: ParallelsFailure): boolean => /PrlJob_Get(?:RetCode|Result)/.test(message)
