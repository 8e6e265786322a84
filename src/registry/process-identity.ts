import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../errors/native.js'
import { isOnLocalDisk } from './file-system.js'
import { isHeld } from './sign-of-life.js'

/** A process, told apart from every other one, of this machine or of another. */
export const processIdentitySchema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** When the process began, in the system's own unit; empty where the system does not tell. */
  began: v.string(),
  /** The kernel that runs it, by its boot id; by the name of the host where the system has no boot id. */
  kernel: v.string(),
  /** The namespace that the pid counts in; empty where the system has none. */
  namespace: v.string(),
  /** Whether it was on a file system that other machines may have mounted, too. */
  isShared: v.boolean(),
  /** The file that is its sign of life; empty where it has none. */
  sign: v.pipe(v.string(), v.regex(/^[\w-]*$/)),
})

export type ProcessIdentity = Readonly<v.InferOutput<typeof processIdentitySchema>>

/** Where a process can be found: its pid means nothing elsewhere. */
type Realm = Pick<ProcessIdentity, 'kernel' | 'namespace'>

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    // No such process, or a system without /proc.
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}

/** The fields of /proc/PID/stat from the third on (proc(5)); the name in the second may hold anything. */
const fieldsOf = (stat: string): string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ')

let isProcOwn: boolean | undefined

/**
 * Whether /proc is mounted for the namespace of this process. One that is mounted for another namespace, as `unshare --pid`
 * leaves it, has other processes under the pids that count here.
 */
const hasOwnProc = (): boolean =>
  (isProcOwn ??= read('/proc/self/stat')?.startsWith(`${String(process.pid)} `) === true)

/**
 * When the process began; nothing where the system does not tell. A process that has ended, and whose parent has not looked
 * yet, counts as gone.
 */
const beganAt = (pid: number): string | undefined => {
  if (!hasOwnProc()) return undefined
  const stat = read(`/proc/${String(pid)}/stat`)
  const fields = stat === undefined ? undefined : fieldsOf(stat)
  return fields?.[0] === 'Z' ? undefined : fields?.[19]
}

/** Names of hosts have 64 characters at most on Linux, and hardly ever any that is encoded. */
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

/** This process, as one that uses files in a folder. */
export const ownIdentity = (isShared: boolean, sign = ''): ProcessIdentity => ({
  ...realm(),
  pid: process.pid,
  began: (ownBegin ??= beganAt(process.pid) ?? ''),
  isShared,
  sign,
})

/** A process of this namespace that runs at present. */
export const identityOf = (pid: number, isShared: boolean, sign = ''): ProcessIdentity => ({
  ...realm(),
  pid,
  began: beganAt(pid) ?? '',
  isShared,
  sign,
})

export const ownKernel = (): string => realm().kernel

/** Whether the process is of this kernel and namespace, so that its pid can be asked for. */
export const isOfThisNamespace = ({ kernel, namespace }: Realm): boolean =>
  kernel === realm().kernel && namespace === realm().namespace

/** Whether /proc/PID is proven to be the process. That can't be proven where the system does not tell, as on macOS. */
export const isInProc = (identity: ProcessIdentity): boolean =>
  identity.began !== '' && isOfThisNamespace(identity) && beganAt(identity.pid) === identity.began

/**
 * Whether the process still runs, or may: one that can't be asked counts as running. That is so where it may be another
 * machine's, on a file system that both have mounted, and of another namespace where it has no sign of life.
 * @param signs the folder that has its sign of life
 */
export function isAlive(identity: ProcessIdentity, signs: string): boolean {
  const { kernel, pid, began, isShared, sign } = identity
  if (isOfThisNamespace(identity)) return began === '' ? isThere(pid) : beganAt(pid) === began
  // A local disk has one kernel at a time: that of another boot id is over.
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

/** An identity as a part of a file's name. */
export const formatIdentity = ({ pid, began, kernel, namespace, isShared, sign }: ProcessIdentity): string =>
  [pid, began, kernel, namespace, isShared ? 'shared' : '', sign].join(',')

const pattern = /^([1-9]\d{0,9}),(\d*),([^,/]+),([\w-]*),(shared)?,([\w-]*)$/

/** Nothing for a text that is not an identity. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const [, pid, began = '', kernel = '', namespace = '', shared, sign = ''] = match
  return { pid: Number(pid), began, kernel, namespace, isShared: shared !== undefined, sign }
}
