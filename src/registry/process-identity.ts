import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../errors/native.js'
import { isOnLocalDisk } from './file-system.js'
import { isHeld } from './sign-of-life.js'

/** Identifies a process, among those of this machine and of others. */
export const processIdentitySchema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Start time of the process in the system's own unit; empty if the system does not report it. */
  began: v.string(),
  /** Boot id of the kernel; the host's name if the system has no boot id. */
  kernel: v.string(),
  /** The pid namespace; empty if the system has none. */
  namespace: v.string(),
  /** Whether the directory is on a file system that other machines may have mounted. */
  isShared: v.boolean(),
  /** The file that is its sign of life; empty if it has none. */
  sign: v.pipe(v.string(), v.regex(/^[\w-]*$/)),
})

export type ProcessIdentity = Readonly<v.InferOutput<typeof processIdentitySchema>>

/** Where the pid is valid. */
type Realm = Pick<ProcessIdentity, 'kernel' | 'namespace'>

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    // There is no such process, or no /proc.
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}

/** The fields of /proc/PID/stat from the third on (proc(5)). The second one is the name, which may contain anything. */
const fieldsOf = (stat: string): string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ')

let isProcOwn: boolean | undefined

/**
 * Whether /proc belongs to the pid namespace of this process. After `unshare --pid`, it still shows the pids of the namespace
 * outside.
 */
const hasOwnProc = (): boolean =>
  (isProcOwn ??= read('/proc/self/stat')?.startsWith(`${String(process.pid)} `) === true)

/**
 * Start time of the process; `undefined` if the system does not report it. A zombie counts as gone.
 */
const beganAt = (pid: number): string | undefined => {
  if (!hasOwnProc()) return undefined
  const stat = read(`/proc/${String(pid)}/stat`)
  const fields = stat === undefined ? undefined : fieldsOf(stat)
  return fields?.[0] === 'Z' ? undefined : fields?.[19]
}

/** On Linux, a host name has at most 64 characters, and hardly ever one that needs encoding. */
const maxHostLength = 128
const bootId = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

let ownRealm: Realm | undefined

const realm = (): Realm => (ownRealm ??= readRealm())

function readRealm(): Realm {
  const boot = read('/proc/sys/kernel/random/boot_id')?.trim()
  const kernel = boot ?? encodeURIComponent(hostname()).slice(0, maxHostLength)
  if (hasOwnProc()) return { kernel, namespace: readlinkSync('/proc/self/ns/pid').replace(/\D/g, '') }
  return { kernel, namespace: boot === undefined ? '' : `unknown-${randomUUID()}` }
}

let ownBegin: string | undefined

/** The identity of this process. */
export const ownIdentity = (isShared: boolean, sign = ''): ProcessIdentity => ({
  ...realm(),
  pid: process.pid,
  began: (ownBegin ??= beganAt(process.pid) ?? ''),
  isShared,
  sign,
})

/** The identity of a running process in this pid namespace. */
export const identityOf = (pid: number, isShared: boolean, sign = ''): ProcessIdentity => ({
  ...realm(),
  pid,
  began: beganAt(pid) ?? '',
  isShared,
  sign,
})

export const ownKernel = (): string => realm().kernel

/** Whether the process is of this kernel and pid namespace, so that its pid is valid here. */
export const isOfThisNamespace = ({ kernel, namespace }: Realm): boolean =>
  kernel === realm().kernel && namespace === realm().namespace

/** Whether /proc/PID is certainly the process. False if the system has no /proc, as macOS. */
export const isInProc = (identity: ProcessIdentity): boolean =>
  identity.began !== '' && isOfThisNamespace(identity) && beganAt(identity.pid) === identity.began

/**
 * Whether the process is running, or may be. A process that can't be checked counts as running: one that may be on another
 * machine with the same file system, and one of another pid namespace without a sign of life.
 * @param signs the folder that has its sign of life
 */
export function isAlive(identity: ProcessIdentity, signs: string): boolean {
  const { kernel, pid, began, isShared, sign } = identity
  if (isOfThisNamespace(identity)) return began === '' ? isThere(pid) : beganAt(pid) === began
  // A local disk has one kernel at a time: one with another boot id has ended.
  if (kernel !== realm().kernel) return isShared || !bootId.test(kernel) || !isOnLocalDisk(signs)
  return isShared || sign === '' || isHeld(join(signs, sign))
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

/** The identity as part of a file name. */
export const formatIdentity = ({ pid, began, kernel, namespace, isShared, sign }: ProcessIdentity): string =>
  [pid, began, kernel, namespace, isShared ? 'shared' : '', sign].join(',')

const pattern = /^([1-9]\d{0,9}),(\d*),([^,/]+),([\w-]*),(shared)?,([\w-]*)$/

/** Parses an identity in a file name; `undefined` if it is not one. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const [, pid, began = '', kernel = '', namespace = '', shared, sign = ''] = match
  return { pid: Number(pid), began, kernel, namespace, isShared: shared !== undefined, sign }
}
