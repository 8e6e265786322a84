import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, closeSync, constants, existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '../../../errors/native.js'
import { FolderWatcher } from '../../../files/folder-watcher.js'
import { isOnLocalDisk } from '../../../registry/file-system.js'
import { identityOf, type ProcessIdentity } from '../../../registry/process-identity.js'
import { holdSign, makeSign } from '../../../registry/sign-of-life.js'
import { openOwnFile, readOwnFile } from '../../../registry/own-file.js'
import { runFiles } from '../run-files.js'
import { parseKeptName } from '../logs/kept-part.js'
import { isCompanionFile } from './companion-files.js'
import { openMonitor } from './monitor.js'
import { folderId, isQemuOf, isStartedFor } from './own-qemu.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpConnectionError } from '../protocol/qmp-errors.js'
import { QemuProgramError } from '../qemu-errors.js'
import { programGone } from './qemu-tools.js'
import { lastWords, type RunPlan } from './run-record.js'

/** Longer than QEMU takes to answer on a very busy computer. */
const startTimeoutMs = 60_000
/** A pid has ten digits at most. */
const maxPidBytes = 64
/** How often to look, since a watcher may miss a change. */
const pollMs = 20
/** QEMU listens on a socket some microseconds after it has made its file. */
const retryMs = 1

/** A QEMU that was just started, with its guest paused, and the connection to it. */
export interface StartedQemu<T> {
  readonly identity: ProcessIdentity
  readonly monitor: QmpClient
  readonly prepared: T
  /** Rejects with QEMU's output when QEMU has ended. */
  readonly ended: Promise<never>
}

interface StartOptions<T> {
  readonly signal: AbortSignal
  readonly onExit: () => void
  /** Called while QEMU comes up. */
  readonly prepare: (identity: ProcessIdentity) => T
}

/** Starts a QEMU that outlives this process. Its output goes to a file, which errors quote. */
export async function startQemu<T>(
  folder: string,
  [program, ...args]: RunPlan['commandLine'],
  { signal, onExit, prepare }: StartOptions<T>,
): Promise<StartedQemu<T>> {
  const sign = await freshSign(folder)
  const child = spawnLogged(folder, program, args, sign?.descriptor)
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => {
      reject(errorCode(cause) === 'ENOENT' ? programGone(program, cause) : cause)
    })
    child.once('exit', (code, signal) => {
      onExit()
      lastWords(folder).then((said) => {
        reject(new QemuProgramError('QEMU', code ?? signal, said))
      }, reject)
    })
  })
  ended.catch(() => {
    // Only the start waits for this. Later, every process sees QEMU's end in its files.
  })
  const waiting = new AbortController()
  try {
    const identity = identityOf(child.pid ?? 0, !isOnLocalDisk(folder), sign?.name)
    const prepared = prepare(identity)
    const monitor = await Promise.race([ended, firstMonitor(folder, waiting.signal), aborted(signal, waiting)])
    closeSocketsToOthers(folder)
    return { identity, monitor, prepared, ended }
  } catch (error) {
    waiting.abort()
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await ended.catch(() => undefined)
    }
    throw error
  } finally {
    waiting.abort()
  }
}

const signPrefix = 'alive-'

/** True if a file of a VM's folder is the sign of life of its QEMU. */
export const isSign = (file: string): boolean => file.startsWith(signPrefix)

/** Removes the sign of life from a folder that users may copy: many tools can't copy FIFOs. */
export function removeSign(folder: string): void {
  for (const file of readdirSync(folder).filter(isSign)) rmSync(join(folder, file), { force: true })
}

/**
 * A sign of life for the next QEMU; `undefined` if the file system supports none. It gets a new name each time, so that it is not
 * taken for that of an earlier QEMU.
 */
async function freshSign(folder: string): Promise<{ readonly name: string; readonly descriptor: number } | undefined> {
  if (!isOnLocalDisk(folder)) return undefined
  const name = `${signPrefix}${randomUUID()}`
  const path = join(folder, name)
  const old = readdirSync(folder).find(isSign)
  if (old !== undefined) renameSync(join(folder, old), path)
  else if (!(await makeSign(path))) return undefined
  return { name, descriptor: holdSign(path) }
}

function spawnLogged(folder: string, program: string, args: readonly string[], sign?: number): ChildProcess {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants
  const log = openOwnFile(join(folder, runFiles.log), { flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND })
  try {
    // QEMU does not use the descriptor of the sign: it only stays open as long as QEMU lives.
    const stdio = ['ignore', log, log, ...(sign === undefined ? [] : [sign])] as const
    const child = spawn(program, args, { cwd: folder, detached: true, stdio: [...stdio] })
    child.unref()
    return child
  } finally {
    closeSync(log)
    if (sign !== undefined) closeSync(sign)
  }
}

/** Rejects when the start is cancelled. */
const aborted = (signal: AbortSignal, waiting: AbortController): Promise<never> =>
  new Promise((_resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true, signal: waiting.signal })
  })

/**
 * Connects to the monitor whose events go to the log. After the first connection, QEMU writes events to the log also while no
 * client is connected. Its socket is the last that QEMU makes; it exists shortly before QEMU listens on it.
 */
async function firstMonitor(folder: string, signal: AbortSignal): Promise<QmpClient> {
  const deadline = performance.now() + startTimeoutMs
  await untilBound(folder, { signal, deadline })
  for (;;) {
    try {
      return await openMonitor(folder, runFiles.events)
    } catch (error) {
      if (!(error instanceof QmpConnectionError) || performance.now() > deadline) throw error
    }
    await delay(retryMs, undefined, { signal })
  }
}

/** Waits until the last of the sockets exists, or the deadline. */
function untilBound(
  folder: string,
  { signal, deadline }: { readonly signal: AbortSignal; readonly deadline: number },
): Promise<void> {
  const last = join(folder, runFiles.events)
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      watcher.close()
      clearInterval(timer)
      signal.removeEventListener('abort', abort)
      settle()
    }
    const look = (): void => {
      if (existsSync(last) || performance.now() > deadline) end(resolve)
    }
    const abort = (): void => {
      end(() => {
        reject(signal.reason as Error)
      })
    }
    // If the system has no watcher left, polling is enough.
    const watcher = new FolderWatcher(folder, look)
    const timer = setInterval(look, pollMs)
    signal.addEventListener('abort', abort)
  })
}

/**
 * Removes the files of an earlier QEMU, which would be taken for those of the next; QEMU's own log is truncated later. Creates the
 * logs, since QEMU would make them readable for others.
 */
export function prepareRunFiles(folder: string, isConsoleKept: boolean): void {
  const names: ReadonlySet<string> = new Set(Object.values(runFiles))
  const left = readdirSync(folder).filter((file) => {
    const name = parseKeptName(file)?.log ?? file
    if (isCompanionFile(name)) return true
    return names.has(name) && file !== runFiles.log && !(isConsoleKept && name === runFiles.console)
  })
  for (const file of left) rmSync(join(folder, file), { force: true })
  const { O_WRONLY, O_CREAT, O_APPEND } = constants
  for (const log of [runFiles.console, runFiles.eventLog]) {
    closeSync(openOwnFile(join(folder, log), { flags: O_WRONLY | O_CREAT | O_APPEND }))
  }
}

/** Restricts the sockets to this user: QEMU creates them with the umask of this process. */
function closeSocketsToOthers(folder: string): void {
  for (const file of Object.values(runFiles).filter((name) => name.endsWith('.sock'))) {
    try {
      chmodSync(join(folder, file), 0o600)
    } catch (error) {
      // QEMU has ended already, which the caller finds out.
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }
}

/** A QEMU without a record, since the process that started it crashed: its guest has not run. */
export async function findOrphan(
  folder: string,
  id: string,
  isInherited: boolean,
): Promise<ProcessIdentity | undefined> {
  const own = folderId(folder)
  const isShared = !isOnLocalDisk(folder)
  const written = readOrEmpty(join(folder, runFiles.pid))
  // A QEMU that has just started has no pid file yet. After a crash of the owner, all processes are searched.
  const pids = isInherited ? [written, ...(await readdir('/proc').catch(() => []))] : [written]
  for (const pid of new Set(pids.map((text) => text.trim()))) {
    if (!/^[1-9]\d*$/.test(pid)) continue
    const identity = identityOf(Number(pid), isShared)
    if (isQemuOf(own, identity) && isStartedFor(id, identity)) return identity
  }
  return undefined
}

/** Empty if the file can't be read. */
function readOrEmpty(path: string): string {
  try {
    return readOwnFile(path, maxPidBytes)
  } catch {
    return ''
  }
}
