import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, closeSync, constants, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { HostError } from '../../../errors.js'
import { errorCode } from '../../../errors/native.js'
import { openOwnFile, readOwnFile } from '../../../registry/own-file.js'
import { isOnLocalDisk } from '../../../registry/file-system.js'
import { identityOf, isAlive, isOfThisNamespace, type ProcessIdentity } from '../../../registry/process-identity.js'
import { QemuProgramError } from '../qemu-errors.js'
import { companionFiles } from './companion-files.js'
import { folderId, isCompanionOf, signalCompanion, type FolderId } from './own-qemu.js'
import { programGone } from './qemu-tools.js'

/*
 * Companions are programs that serve one QEMU: swtpm, which is its TPM, and a virtiofsd for each share by virtiofs. Each is started before QEMU, in the folder of the VM, listens on a
 * socket there, and ends when QEMU closes its connection. One whose QEMU never came, since the process that starts both was killed, is
 * found by its folder and ended by the next process that claims the VM, as a QEMU without a record is.
 */

/** How a companion is started. */
export interface CompanionPlan {
  /** The name of its files, see `companionFiles`. */
  readonly name: string
  readonly commandLine: readonly [program: string, ...args: string[]]
  /**
   * What shows that it listens on its socket. The socket alone does not, since a program makes that before it listens: QEMU, which does
   * not try again, would be refused.
   */
  readonly ready: {
    /** One of its files. */
    readonly file: string
    /** What is in the file then. */
    readonly text: RegExp
  }
}

/** A companion of a QEMU that runs, or has run. */
export interface Companion {
  readonly name: string
  readonly process: ProcessIdentity
}

/** A companion that this process has started. */
export interface StartedCompanion extends Companion {
  readonly child: ChildProcess
}

/** Longer than any of them takes on a very busy computer. */
const startTimeoutMs = 60_000
const pollMs = 5
/** How long one may take to end after its QEMU, or after a signal. */
const endTimeoutMs = 3000
/** More than any of them writes before it serves its QEMU. */
const maxReadBytes = 2 ** 20
/** How much of its log an error quotes. */
const quotedChars = 2000

/** Starts companions, which listen on their sockets then. After a failure, none is left. */
export async function startCompanions(
  folder: string,
  plans: readonly CompanionPlan[],
  signal: AbortSignal,
): Promise<StartedCompanion[]> {
  const started: StartedCompanion[] = []
  try {
    const deadline = performance.now() + startTimeoutMs
    const ready: Promise<void>[] = []
    for (const plan of plans) {
      const child = spawnLogged(folder, plan)
      const failed = failureOf(folder, plan, child)
      started.push({ name: plan.name, process: identityOf(child.pid ?? 0, !isOnLocalDisk(folder)), child })
      ready.push(untilReady(folder, plan, { failed, deadline, signal }))
    }
    await Promise.all(ready)
    return started
  } catch (error) {
    await killStarted(started)
    throw error
  }
}

/** Ends companions whose QEMU did not start. They are children of this process, so that no other process can have their pids. */
export async function killStarted(started: readonly StartedCompanion[]): Promise<void> {
  await Promise.all(
    started.map(async ({ child }) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    }),
  )
}

/** Waits for the end of the companions of a QEMU that has ended, which follows from that; ends those that hang. */
export async function endCompanions(folder: string, companions: readonly Companion[] = []): Promise<void> {
  const own = folderId(folder)
  await Promise.all(
    companions.map(async ({ process }) => {
      // What runs in another container ends by itself, and can't be seen from here.
      if (!isOfThisNamespace(process) || (await hasEnded(folder, process))) return
      await endBySignal(folder, own, process)
    }),
  )
}

/** Ends companions that run in a folder whose VM has no QEMU. */
export async function endLeftCompanions(folder: string): Promise<void> {
  const own = folderId(folder)
  const isShared = !isOnLocalDisk(folder)
  const pids = (await readdir('/proc').catch(() => [])).map(Number).filter(Number.isInteger)
  const left = pids.map((pid) => identityOf(pid, isShared)).filter((process) => isCompanionOf(own, process))
  await Promise.all(left.map((process) => endBySignal(folder, own, process)))
}

/** What a VM lacks whose QEMU runs on without one of its companions; `undefined` if all are there, or that can't be seen. */
export function lackOf(folder: string, companions: readonly Companion[] = []): HostError | undefined {
  const lost = companions.find(({ process }) => !isAlive(process, folder))
  if (lost === undefined) return undefined
  const { name } = lost
  const said = lastWords(folder, name)
  return new HostError({
    reason: `the process beside QEMU that is its ${name} has ended, and its guest can't use that any more`,
    hint: 'Shut the guest down with vm.stop(), and start the VM again.',
    native: { driver: 'qmp', message: said === '' ? 'it ended without any output' : said },
  })
}

async function hasEnded(folder: string, process: ProcessIdentity): Promise<boolean> {
  const began = performance.now()
  while (isAlive(process, folder)) {
    if (performance.now() - began > endTimeoutMs) return false
    await delay(pollMs)
  }
  return true
}

async function endBySignal(folder: string, own: FolderId, process: ProcessIdentity): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (signalCompanion(own, process, signal) && (await hasEnded(folder, process))) return
  }
}

function spawnLogged(folder: string, { name, commandLine: [program, ...args] }: CompanionPlan): ChildProcess {
  // What an earlier one has left would say that this one is ready.
  for (const file of Object.values(companionFiles(name))) rmSync(join(folder, file), { force: true })
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants
  const log = openOwnFile(join(folder, companionFiles(name).log), { flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND })
  try {
    const child = spawn(program, args, { cwd: folder, detached: true, stdio: ['ignore', log, log] })
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

/** Rejects with the program's last words when it has ended. */
function failureOf(
  folder: string,
  { name, commandLine: [program] }: CompanionPlan,
  child: ChildProcess,
): Promise<never> {
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => {
      reject(errorCode(cause) === 'ENOENT' ? programGone(program, cause) : cause)
    })
    child.once('exit', (code, bySignal) => {
      reject(new QemuProgramError(basename(program), code ?? bySignal, lastWords(folder, name)))
    })
  })
  failed.catch(() => {
    // Only the start waits for this. Later, every process sees in /proc that it is gone.
  })
  return failed
}

interface Wait {
  readonly failed: Promise<never>
  readonly deadline: number
  readonly signal: AbortSignal
}

async function untilReady(
  folder: string,
  { name, ready, commandLine: [program] }: CompanionPlan,
  { failed, deadline, signal }: Wait,
): Promise<void> {
  while (!hasText(join(folder, ready.file), ready.text)) {
    signal.throwIfAborted()
    if (performance.now() > deadline) {
      throw new QemuProgramError(basename(program), null, lastWords(folder, name))
    }
    await Promise.race([failed, delay(pollMs)])
  }
  // It makes the socket with the umask of this process.
  chmodSync(join(folder, companionFiles(name).socket), 0o600)
}

/** Its last output, for errors; empty if that can't be read, since an error without it is better than another one. */
function lastWords(folder: string, name: string): string {
  try {
    return readOwnFile(join(folder, companionFiles(name).log), maxReadBytes).slice(-quotedChars)
  } catch {
    return ''
  }
}

const hasText = (path: string, text: RegExp): boolean => text.test(readOrNothing(path) ?? '')

function readOrNothing(path: string): string | undefined {
  try {
    return readOwnFile(path, maxReadBytes)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
