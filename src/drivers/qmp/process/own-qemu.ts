import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { HostError } from '../../../errors.js'
import { isInProc, isOfThisNamespace, type ProcessIdentity } from '../../../registry/process-identity.js'

/** A folder by what stays the same when it is moved or removed. */
export type FolderId = `${bigint}:${bigint}`

export function folderId(path: string): FolderId {
  const { dev, ino } = statSync(path, { bigint: true })
  return `${dev}:${ino}`
}

/**
 * Whether a process is proven to be the QEMU of the VM in a folder: it is of this namespace, began when that QEMU did, runs
 * QEMU, and was started in the folder. Nothing is proven where the system does not tell, as on macOS.
 */
export const isQemuOf = (folder: FolderId, identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => folderId(`${proc}/cwd`) === folder && isQemu(proc)) === true

/** Whether the QEMU that a VM was known to have still runs, though its folder was removed, not moved. */
export const isStray = (id: string, identity: ProcessIdentity): boolean =>
  lookAt(identity, (proc) => statSync(`${proc}/cwd`).nlink === 0 && isQemu(proc) && isStartedFor(id, identity)) === true

/** As `isStray`, for a process that was only found: it must also be this user's, and see the same processes and files. */
export const isOwnStray = (id: string, identity: ProcessIdentity): boolean =>
  isStray(id, identity) &&
  lookAt(identity, (proc) => statSync(proc).uid === process.geteuid?.() && isOfOwnNamespaces(proc)) === true

const isOfOwnNamespaces = (proc: string): boolean =>
  ['pid', 'mnt'].every((kind) => readlinkSync(`${proc}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`))

/** The folder that the QEMU of a VM runs in at present; nothing where it has ended, or that can't be proven. */
export const placeOf = (id: string, identity: ProcessIdentity): string | undefined =>
  lookAt(identity, (proc) => (isQemu(proc) && isStartedFor(id, identity) ? readlinkSync(`${proc}/cwd`) : undefined))

const removedMark = ' (deleted)'

/** The path that the folder had which a process runs in, where it may have been removed since; proc(5). */
export function removedFolderOf(pid: number): string | undefined {
  const place = ifVisible(() => readlinkSync(`/proc/${String(pid)}/cwd`))
  return place?.endsWith(removedMark) === true ? place.slice(0, -removedMark.length) : undefined
}

/** What is seen of a process; nothing where /proc is not proven to tell of it. */
const lookAt = <T>(identity: ProcessIdentity, look: (proc: string) => T): T | undefined =>
  isInProc(identity) ? ifVisible(() => look(`/proc/${String(identity.pid)}`)) : undefined

function ifVisible<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    // It has ended, or is another user's.
    const isHidden = ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')
    if (isHidden) return undefined
    throw error
  }
}

const isQemu = (proc: string): boolean =>
  isNamedQemu(readlinkSync(`${proc}/exe`)) || isNamedQemu(wordsOf(proc)[0] ?? '')

/** Some systems wrap programs: `.qemu-system-x86_64-wrapped`. */
const isNamedQemu = (path: string): boolean => /^\.?qemu-system-/.test(basename(path))

const wordsOf = (proc: string): string[] => readFileSync(`${proc}/cmdline`, 'utf8').split('\0')

/** Whether the process was started for the VM of this id. */
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
 * Sends a signal to the QEMU of the VM in a folder, and to no other process: what it is, is looked at once more in the moment
 * before. False where that could not be proven.
 */
export const signalQemu = (folder: FolderId, identity: ProcessIdentity, signal: NodeJS.Signals): boolean =>
  isQemuOf(folder, identity) && signalProcess(identity, signal)

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

/** Error for a QEMU that runs on though it was told to quit. */
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
