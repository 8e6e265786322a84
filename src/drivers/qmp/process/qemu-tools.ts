import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { HostToolNotFoundError, ProtocolError } from '../../../errors.js'
import type { MachineType } from '../../../model/vm-config.js'
import { nativeError } from '../qemu-errors.js'

const run = promisify(execFile)

const systemPackages =
  'qemu-system-x86 on Debian and Ubuntu, qemu-system-x86-core on Fedora, qemu-system-x86 on Arch, qemu on Homebrew'
const imagePackages = 'qemu-utils on Debian and Ubuntu, qemu-img on Fedora and Arch, qemu on Homebrew'

/** The paths of QEMU's programs. */
export interface QemuTools {
  readonly system: string
  readonly img: string
}

/** Finds QEMU's programs on the PATH. */
export async function findQemuTools(): Promise<QemuTools> {
  const [system, img] = await Promise.all([
    findProgram('qemu-system-x86_64', systemPackages),
    findProgram('qemu-img', imagePackages),
  ])
  return { system, img }
}

async function findProgram(name: string, packages: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    // A relative entry would name another program in each working directory.
    if (!isAbsolute(folder)) continue
    const path = join(folder, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // The next folder may have it.
    }
  }
  throw new HostToolNotFoundError({
    reason: `the program ${name} is not on the PATH`,
    hint: `Install the package that has it: ${packages}.`,
  })
}

/** A build of QEMU. */
export interface QemuBuild {
  readonly version: string
  /** The versioned names of its machines, which later versions know too: `pc-q35-7.2`, `pc-i440fx-7.2`. */
  readonly machines: Readonly<Record<MachineType, string>>
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
  const q35 = /\(alias of (pc-q35-[\w.+-]+)\)/.exec(machines)?.[1]
  const pc = /\(alias of (pc-i440fx-[\w.+-]+)\)/.exec(machines)?.[1]
  if (number === undefined || q35 === undefined || pc === undefined) {
    throw new ProtocolError({ reason: `${system} tells neither its version nor its machines in a known form` })
  }
  return { version: number, machines: { q35, pc } }
}
