import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { HostToolNotFoundError, ProtocolError } from '../../../errors.js'
import type { GuestArchitecture } from '../../../model/vm-config.js'
import { kindOfMachine, type MachineKind } from '../hardware/machine.js'
import { nativeError } from '../qemu-errors.js'

const run = promisify(execFile)

const imagePackages = 'qemu-utils on Debian and Ubuntu, qemu-img on Fedora and Arch, qemu on Homebrew'

/** The program for guests of an architecture, and the packages that have it. */
const systems: Readonly<Record<GuestArchitecture, { readonly name: string; readonly packages: string }>> = {
  x86_64: {
    name: 'qemu-system-x86_64',
    packages:
      'qemu-system-x86 on Debian and Ubuntu, qemu-system-x86-core on Fedora, qemu-system-x86 on Arch, qemu on Homebrew',
  },
  aarch64: {
    name: 'qemu-system-aarch64',
    packages:
      'qemu-system-arm on Debian and Ubuntu, qemu-system-aarch64-core on Fedora, qemu-system-aarch64 on Arch, qemu on Homebrew',
  },
}

/** The paths of QEMU's programs. */
export interface QemuTools {
  /** The program for guests of an architecture. Throws if it is not installed. */
  readonly system: (architecture: GuestArchitecture) => string
  readonly img: string
}

/** Finds QEMU's programs on the PATH. Those for other architectures than x86_64 may be missing until they are needed. */
export function findQemuTools(): QemuTools {
  const x86 = findProgram(systems.x86_64)
  const system = (architecture: GuestArchitecture): string =>
    architecture === 'x86_64' ? x86 : findProgram(systems[architecture])
  return { system, img: findProgram({ name: 'qemu-img', packages: imagePackages }) }
}

/** A program, and where it is. */
interface WantedProgram {
  readonly name: string
  readonly packages: string
  /** Where packages have it, if that is not on the PATH. */
  readonly folders?: readonly string[] | undefined
}

/** Finds a program on the PATH, else in the folders. Throws with the packages that have it. */
export function findProgram({ name, packages, folders = [] }: WantedProgram): string {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...folders]) {
    // A relative entry would name another program in each working directory.
    if (!isAbsolute(folder)) continue
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // The next folder may have it.
    }
  }
  throw new HostToolNotFoundError({
    reason: `the program ${name} is not on the PATH${folders.map((folder) => `, nor in ${folder}`).join('')}`,
    hint: `Install the package that has it: ${packages}.`,
  })
}

/** Error for a program that was there when it was looked for. */
export const programGone = (program: string, cause: unknown): HostToolNotFoundError =>
  new HostToolNotFoundError({
    reason: `the program ${program} is not there any more`,
    hint: 'Install it again.',
    cause,
  })

/** A build of QEMU. */
export interface QemuBuild {
  readonly version: string
  /** The versioned names of the machines that it has, which later versions know too: `pc-q35-7.2`, `pc-i440fx-7.2`, `virt-7.2`. */
  readonly machines: Readonly<Partial<Record<MachineKind, string>>>
}

/** Asks QEMU for its version and machines. */
export async function readQemuBuild(system: string): Promise<QemuBuild> {
  const options = { timeout: 30_000, maxBuffer: 2 ** 20 }
  const [{ stdout: version }, { stdout: machines }] = await Promise.all([
    run(system, ['--version'], options),
    run(system, ['-machine', 'help'], options),
  ]).catch((cause: unknown) => {
    throw new ProtocolError({
      reason: `${system} does not tell its version and machines`,
      cause,
      native: nativeError(cause),
    })
  })
  const number = /version (\d+(?:\.\d+)+)/.exec(version)?.[1]
  const aliased = [...machines.matchAll(/\(alias of ((?:pc-q35|pc-i440fx|virt)-[\w.+-]+)\)/g)].flatMap(
    ([, name]) => name ?? [],
  )
  if (number === undefined || aliased.length === 0) {
    throw new ProtocolError({ reason: `${system} tells neither its version nor its machines in a known form` })
  }
  return { version: number, machines: Object.fromEntries(aliased.map((name) => [kindOfMachine(name), name])) }
}
