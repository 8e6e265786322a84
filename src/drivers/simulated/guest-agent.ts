import type { ExecOptions, ExecResult, NetworkAddress } from '../../model/exec.js'
import { InvalidArgumentError } from '../../errors.js'
import type { SimulatedVm } from './simulated-vm.js'

/** What a test's program leaves behind; what is absent is empty, and the exit code 0. */
export interface SimulatedExecResult {
  readonly exitCode?: number | undefined
  /** The signal that ended it; then it has no exit code. */
  readonly signal?: number | undefined
  readonly stdout?: string | Uint8Array | undefined
  readonly stderr?: string | Uint8Array | undefined
  readonly isTruncated?: boolean | undefined
}

/** A program that runs in the guest. */
export interface SimulatedProgram {
  readonly argv: readonly string[]
  readonly options: ExecOptions
  /** The VM's name. */
  readonly vm: string
  /** Aborted when the job is cancelled, or the VM goes. */
  readonly signal: AbortSignal
  /** Lets time pass, by the host's clock; rejects when the program is stopped. */
  sleep(ms: number): Promise<void>
}

/** Runs programs for `vm.guest.exec`; `undefined` says that there is no such program. */
export type ExecHandler = (
  program: SimulatedProgram,
) => SimulatedExecResult | undefined | Promise<SimulatedExecResult | undefined>

const bytes = (output: string | Uint8Array | undefined): Uint8Array =>
  output === undefined ? new Uint8Array() : typeof output === 'string' ? new TextEncoder().encode(output) : output

export const execResult = ({ exitCode, signal, stdout, stderr, isTruncated }: SimulatedExecResult): ExecResult => ({
  exitCode: signal === undefined ? (exitCode ?? 0) : undefined,
  ...(signal !== undefined && { signal }),
  stdout: bytes(stdout),
  stderr: bytes(stderr),
  isTruncated: isTruncated ?? false,
})

/** What a shell says of a program that it does not find. */
export const noSuchProgram = ([program = '']: readonly string[]): SimulatedExecResult => ({
  exitCode: 127,
  stderr: `${program}: not found\n`,
})

/** Addresses that follow from the VM's number: 10.0.0.1 for the first. */
export function addressesOf({ number }: SimulatedVm): NetworkAddress[] {
  const [high, middle, low] = [(number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff]
  const macAddress = ['52:54:00', ...[high, middle, low].map((byte) => byte.toString(16).padStart(2, '0'))].join(':')
  const eth0 = { interfaceName: 'eth0', macAddress }
  return [
    { ...eth0, address: `10.${[high, middle, low].join('.')}`, family: 'ipv4' },
    { ...eth0, address: `fd00::${number.toString(16)}`, family: 'ipv6' },
  ]
}

/** The folders that every guest has at its root (Filesystem Hierarchy Standard 3.0). */
const rootFolders = new Set('bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var'.split(' '))

/** What every guest has in /dev. */
const devices = new Set(['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console'].map((name) => `/dev/${name}`))

/** Throws where the path is not one of a regular file. */
export function requireRegular({ content }: SimulatedVm, path: string, parameter: 'from' | 'to'): void {
  const clean = path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '')
  const isFolder =
    clean === '/' ||
    rootFolders.has(clean.slice(1)) ||
    [...content.files.keys()].some((file) => file.startsWith(`${clean}/`))
  if (!isFolder && !devices.has(clean)) return
  const what = isFolder ? 'is a folder' : 'is no regular file'
  throw new InvalidArgumentError({ path: parameter, reason: `${path} ${what} in the guest` })
}

/**
 * Throws where no file can be made at this path: the folder at the guest's root is none of the usual ones, and has no file in
 * it. Below that, folders are taken to be there; so are those of a path that is not one of a POSIX system.
 */
export function requireFolder({ content }: SimulatedVm, path: string): void {
  const [, folder] = /^\/+([^/]+)\//.exec(path) ?? []
  if (folder === undefined || rootFolders.has(folder)) return
  for (const file of content.files.keys()) if (file.startsWith(`/${folder}/`)) return
  throw new InvalidArgumentError({
    path: 'to',
    reason: `the guest has no folder /${folder}`,
    hint: 'A file that the test writes there makes one.',
  })
}

/** A file of the guest. */
export function readGuestFile({ name, content }: SimulatedVm, path: string): Uint8Array | undefined {
  const written = content.files.get(path)
  return written ?? (path === '/etc/hostname' ? new TextEncoder().encode(`${name}\n`) : undefined)
}
