import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { HostError } from '../../../errors.js'
import { isInProc, isOfThisNamespace, type ProcessIdentity } from '../../../registry/process-identity.js'
import { companionPrefix } from './companion-files.js'

/** The identity of a folder, which stays the same when the folder is moved or removed. */
export type FolderId = `${bigint}:${bigint}`

export function folderId(path: string): FolderId {
  const { dev, ino } = statSync(path, { bigint: true })
  return `${dev}:${ino}`
}

/**
 * True if a process is proven to be the QEMU of the VM in a folder: it is in this PID namespace, has the start time of that QEMU,
 * runs QEMU, and has the folder as working directory. Without /proc, as on macOS, nothing can be proven.
 */
export const isQemuOf = (folder: FolderId, identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => folderId(`${proc}/cwd`) === folder && isQemu(proc)) === true

/** True if the known QEMU of a VM still runs although its folder was removed, not just moved. */
export const isStray = (id: string, identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => statSync(`${proc}/cwd`).nlink === 0 && isQemu(proc) && isStartedFor(id, identity)) === true

/** As `isStray`, for a process found by searching: it must also be of this user, and in the same PID and mount namespaces. */
export const isOwnStray = (id: string, identity: ProcessIdentity): boolean =>
  isStray(id, identity) &&
  lookAt(identity, (proc) => statSync(proc).uid === process.geteuid?.() && isOfOwnNamespaces(proc)) === true

const isOfOwnNamespaces = (proc: string): boolean =>
  ['pid', 'mnt'].every((kind) => readlinkSync(`${proc}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`))

/** The present folder of a VM's QEMU; `undefined` if QEMU has ended, or that can't be proven. */
export const placeOf = (id: string, identity: ProcessIdentity): string | undefined =>
  lookAt(identity, (proc) => (isQemu(proc) && isStartedFor(id, identity) ? readlinkSync(`${proc}/cwd`) : undefined))

const removedMark = ' (deleted)'

/** The former path of a process's working directory, if that was removed; proc(5). */
export function removedFolderOf(pid: number): string | undefined {
  const place = ifVisible(() => readlinkSync(`/proc/${String(pid)}/cwd`))
  return place?.endsWith(removedMark) === true ? place.slice(0, -removedMark.length) : undefined
}

/** Reads something from /proc about a process; `undefined` unless /proc is proven to show this process. */
const lookAt = <T>(identity: ProcessIdentity, look: (proc: string) => T): T | undefined =>
  isInProc(identity) ? ifVisible(() => look(`/proc/${String(identity.pid)}`)) : undefined

function ifVisible<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    // The process has ended, or is of another user.
    const isHidden = ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')
    if (isHidden) return undefined
    throw error
  }
}

const isQemu = (proc: string): boolean =>
  isNamedQemu(readlinkSync(`${proc}/exe`)) || isNamedQemu(wordsOf(proc)[0] ?? '')

/** Some systems wrap programs, for example as `.qemu-system-x86_64-wrapped`. */
const isNamedQemu = (path: string): boolean => /^\.?qemu-system-/.test(basename(path))

const wordsOf = (proc: string): string[] => readFileSync(`${proc}/cmdline`, 'utf8').split('\0')

/**
 * True if a process is proven to be a companion of the QEMU of the VM in a folder: it is in this PID namespace, has the start time of that
 * companion, is of this user, runs a program that awaitvm uses as one, on a file as it names them, and has the folder as working directory.
 */
export const isCompanionOf = (folder: FolderId, identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => folderId(`${proc}/cwd`) === folder && isCompanion(proc)) === true

/** True if a companion still runs although the folder of its VM was removed. */
const isStrayCompanion = (identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => statSync(`${proc}/cwd`).nlink === 0 && isCompanion(proc) && isOfOwnNamespaces(proc)) ===
  true

const isCompanion = (proc: string): boolean =>
  statSync(proc).uid === process.geteuid?.() &&
  /^\.?(?:swtpm|virtiofsd)\b/.test(basename(readlinkSync(`${proc}/exe`))) &&
  wordsOf(proc).some((word) => word.includes(companionPrefix))

/** True if the process was started for the VM of this id. */
export const isStartedFor = (id: string, { pid }: ProcessIdentity): boolean => {
  try {
    const words = wordsOf(`/proc/${String(pid)}`)
    return words[words.indexOf('-uuid') + 1] === id
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return false
    throw error
  }
}

/**
 * Sends a signal to the QEMU of the VM in a folder, and to no other process: its identity is checked right before. Returns false
 * if the identity could not be proven.
 */
export const signalQemu = (folder: FolderId, identity: ProcessIdentity, signal: NodeJS.Signals): boolean =>
  isQemuOf(folder, identity) && signalProcess(identity, signal)

export const signalCompanion = (folder: FolderId, identity: ProcessIdentity, signal: NodeJS.Signals): boolean =>
  isCompanionOf(folder, identity) && signalProcess(identity, signal)

export const signalStrayCompanion = (identity: ProcessIdentity, signal: NodeJS.Signals): boolean =>
  isStrayCompanion(identity) && signalProcess(identity, signal)

export const signalStray = (id: string, identity: ProcessIdentity, signal: NodeJS.Signals): boolean =>
  isStray(id, identity) && signalProcess(identity, signal)

function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(identity.pid, signal)
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false
    throw error
  }
}

/** Error for a QEMU that does not quit when it is told to. */
export function doesNotEnd(folder: FolderId, identity: ProcessIdentity): HostError {
  const { pid } = identity
  const isOwn = isQemuOf(folder, identity)
  const message = isOwn
    ? `the process ${String(pid)} does not end`
    : isOfThisNamespace(identity)
      ? `QEMU does not quit, and the process ${String(pid)} can't be proven to be it`
      : 'QEMU does not quit, and runs in another container or on another machine'
  const hint = isOwn ? undefined : 'End it yourself, where it runs, if it is the QEMU of this VM.'
  return new HostError({ reason: message, hint, native: { driver: 'qmp', message } })
}
