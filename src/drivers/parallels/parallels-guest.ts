import { randomUUID } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { isIP } from 'node:net'
import { finished } from 'node:stream/promises'
import * as v from 'valibot'
import { argvOf, bufferedProgram, type BufferedEnd } from '../../driver/buffered-program.js'
import type { DriverOperations } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import {
  GuestUnavailableError,
  HostError,
  InsufficientResourcesError,
  InvalidArgumentError,
  NotSupportedError,
  OutcomeUnknownError,
} from '../../errors.js'
import { programEndUnknown } from '../../errors/program-end.js'
import { CopyLimit } from '../../files/copy-limit.js'
import { checkScript, receiveScript, removeScript, sendScript } from '../../files/guest-copy-scripts.js'
import { openSource } from '../../files/open-source.js'
import { writeWholeFile } from '../../files/whole-file.js'
import type { ProgramOptions } from '../../model/exec.js'
import type { NetworkAddress } from '../../model/network-address.js'
import { Cksum } from './cksum.js'
import { endOf, guestProgram } from './guest-program.js'
import type { ParallelsHost } from './parallels-host.js'
import { failureOf, ParallelsFailure } from './parallels-failure.js'
import type { RunOptions } from './program-runner.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import { expectedStates, type ParallelsWork } from './parallels-work.js'

/** Bytes of each output of a program that are kept. */
const outputLimit = 16 * 2 ** 20

/** Longest time for a program in a guest; a caller sets a shorter one with `timeoutMs`. */
const programTimeoutMs = 7 * 24 * 3_600_000

/** With a longer command line, `exec` of Parallels Desktop is known to hang, and to ignore signals. */
const maxCommandLine = 3800

const chunkBytes = 256 * 1024

const sizeSchema = v.pipe(v.string(), v.trim(), v.digits(), v.transform(Number), v.safeInteger())
const rowsSchema = v.array(v.object({ ip_configured: v.optional(v.string(), '') }))

interface ExecRun extends Pick<RunOptions, 'signal' | 'onOutput' | 'output' | 'input'> {
  /** True if the program changes nothing: then it does not matter whether it has run. */
  readonly isHarmless?: boolean | undefined
}

/** What Parallels Tools do in a guest. */
export class ParallelsGuest {
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork

  constructor(host: ParallelsHost, work: ParallelsWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'guest.exec': ({ vm, command, options, io }, task) =>
      this.#inGuest(vm, task, 'command', (signal) =>
        bufferedProgram(io, (input) => this.#exec(vm, argvOf(command), options, { signal, input })),
      ),
    'guest.getNetworkAddresses': ({ vm }, task) =>
      this.#work.query(task, vm, async () => {
        requireTools(await this.#work.lookFirst(vm, expectedStates(task)), task)
        return await this.#addresses(vm)
      }),
    'guest.copyIn': ({ vm, from, to }, task) =>
      this.#inGuest(vm, task, 'to', (signal) => this.#copyIn(vm, from, to, signal)),
    'guest.copyOut': ({ vm, from, to }, task) =>
      this.#inGuest(vm, task, 'from', (signal) => this.#copyOut(vm, from, to, signal)),
  }

  #inGuest<T>(vm: string, task: Task, path: string, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
    // Read before any waiting, so that the job can be cancelled from its first moment.
    const { signal } = task
    return this.#work.useGuest(task, vm, path, (info) => {
      requireTools(info, task)
      return action(signal)
    })
  }

  async #exec(
    vm: string,
    argv: readonly string[],
    options: ProgramOptions,
    { isHarmless = false, ...run }: ExecRun,
  ): Promise<BufferedEnd> {
    const program = guestProgram(argv, options)
    const length = Buffer.byteLength(program.commandLine)
    if (this.#host.prlctl.flavour === 'desktop' && length > maxCommandLine) {
      throw new InvalidArgumentError({
        path: 'command',
        reason: `command has ${String(length)} bytes with its quoting, and Parallels Desktop accepts ${String(maxCommandLine)}`,
        hint: 'Pass long texts as the input, or copy them in with vm.guest.copyIn().',
      })
    }
    const outcome = await this.#host.prlctl.run(['exec', argumentOf(vm), program.commandLine], {
      ...run,
      heedsInterrupts: true,
      timeoutMs: programTimeoutMs,
      limit: outputLimit + program.begin.length,
    })
    const { hasBegun, exitCode, stderr } = endOf(program, outcome)
    // The program has ended by itself; errors of prlctl don't matter.
    if (exitCode !== undefined) {
      const isTruncated = outcome.isTruncated || outcome.stdout.length > outputLimit
      return { exitCode, stdout: outcome.stdout.subarray(0, outputLimit), stderr, isTruncated }
    }
    const failure = failureOf(outcome, 'prlctl')
    if (failure !== undefined && isOfWindowsShell(failure))
      throw withoutShell('guest.exec', 'its guest has the shell of Windows', failure)
    const isStopped = failure?.kind === 'cancelled' && outcome.wasInterrupted
    const isInDoubt = (hasBegun && !isHarmless) || (failure !== undefined && isSpurious(failure))
    if (failure !== undefined && (isStopped || !isInDoubt)) throw failure
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
    const { file, size, mode } = await openSource(from)
    try {
      const sum = await sumOf(file, new CopyLimit(size))
      const input = sum.size === 0 ? new Uint8Array() : file.createReadStream({ start: 0, end: sum.size - 1 })
      const number = randomUUID()
      const run = (script: string, ...words: readonly string[]): readonly string[] => [
        'sh',
        '-c',
        script,
        'sh',
        ...words,
      ]
      const argv = run(receiveScript, to, number, mode.toString(8), sum.digest())
      const result = await this.#exec(vm, argv, {}, { signal, input }).catch(async (error: unknown) => {
        await this.#remove(vm, run(removeScript, to, number), error)
        throw error
      })
      // prlctl is known to lose standard input at times.
      if (result.exitCode === 3) throw lost(to, result)
      requireSuccess(result, 'to', to)
    } finally {
      await file.close()
    }
  }

  async #copyOut(vm: string, from: string, to: string, signal: AbortSignal): Promise<void> {
    await writeWholeFile(to, 'parallels', async ({ file, requireRoom }) => {
      const check = await this.#exec(vm, ['sh', '-c', checkScript, 'sh', from], {}, { signal, isHarmless: true })
      requireSuccess(check, 'from', from)
      const size = v.parse(sizeSchema, Buffer.from(check.stdout).toString())
      await requireRoom(size)
      const limit = new CopyLimit(size)
      const argv = ['sh', '-c', sendScript, 'sh', from, String(limit.left)]
      const output = file.createWriteStream()
      const sum = new Cksum()
      const tooMuch = new AbortController()
      const onOutput = (piece: Buffer): void => {
        sum.update(piece)
        try {
          limit.add(piece.byteLength)
        } catch (error) {
          tooMuch.abort(error)
        }
      }
      const bounded = AbortSignal.any([signal, tooMuch.signal])
      const options = { signal: bounded, output, onOutput, isHarmless: true }
      const result = await this.#exec(vm, argv, {}, options).finally(() => {
        tooMuch.signal.throwIfAborted()
      })
      output.end()
      await finished(output)
      requireSuccess(result, 'from', from)
      if (wordsOf(result.stderr) !== sum.digest()) throw lost(from, result)
    })
  }

  /** Removes the unfinished file of a copy that may have begun. */
  async #remove(vm: string, argv: readonly string[], error: unknown): Promise<void> {
    const mayHaveBegun =
      error instanceof OutcomeUnknownError || (error instanceof ParallelsFailure && error.kind === 'cancelled')
    if (!mayHaveBegun) return
    await this.#exec(vm, argv, {}, {}).catch((failure: unknown) => {
      process.emitWarning(`VM ${vm}: an unfinished file is left in the guest: ${String(failure)}`, 'AwaitvmWarning')
    })
  }
}

/** The checksum of a file of this machine. */
async function sumOf(file: FileHandle, limit: CopyLimit): Promise<Cksum> {
  const sum = new Cksum()
  for (;;) {
    const length = Math.min(chunkBytes, limit.left)
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, limit.done)
    if (bytesRead === 0) return sum
    limit.add(bytesRead)
    sum.update(buffer.subarray(0, bytesRead))
  }
}

const wordsOf = (output: Uint8Array): string => Buffer.from(output).toString().trim().replace(/\s+/g, ' ')

function requireSuccess({ exitCode, stderr }: BufferedEnd, path: string, file: string): void {
  if (exitCode === 0) return
  const message = wordsOf(stderr)
  const native = { driver: 'parallels', code: exitCode, message }
  if (/No space left|Disk quota/.test(message)) {
    const hint = 'Make room on the disk of the guest, and try again.'
    throw new InsufficientResourcesError({ reason: `the guest says: ${message}`, hint, native })
  }
  throw new InvalidArgumentError({ path, reason: `${path} is ${file}, and the guest says: ${message}`, native })
}

const lost = (file: string, { exitCode, stderr }: BufferedEnd): HostError =>
  new HostError({
    reason: `a part of ${file} was lost on the way`,
    hint: 'Try again.',
    native: { driver: 'parallels', code: exitCode, message: wordsOf(stderr) },
  })

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
    reason: `${reason}, and programs and copies of files need a POSIX shell`,
    hint: 'Use the remote administration of the guest, or share a folder with it.',
    native: failure?.native,
    cause: failure,
  })

/** True for the error of the Windows shell for an unknown program. The VM's type may be set wrongly. */
const isOfWindowsShell = ({ message }: ParallelsFailure): boolean =>
  /is not recognized as an internal or external command/i.test(message)

/** True for a failure that prlctl is known to have at times, whether or not the program has run. */
const isSpurious = ({ message }: ParallelsFailure): boolean => /PrlJob_Get(?:RetCode|Result)/.test(message)
