import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { readOwnBytes } from '../../../registry/own-file.js'
import { replaceFile } from '../../../registry/replace-file.js'
import type { Hardware } from '../definition.js'
import type { CompanionPlan } from '../process/companion.js'
import { companionFiles } from '../process/companion-files.js'
import { findProgram, programGone } from '../process/qemu-tools.js'
import { QemuProgramError } from '../qemu-errors.js'
import type { MachineKind } from './machine.js'
import { ownTpm, type Tpm } from './tpm-state.js'

/*
 * The TPM of a VM is swtpm, which keeps the state in a file of the VM's folder, and replaces that at each change.
 */

const name = 'tpm'
/** It has some KB: the certificates and keys that fit into a TPM's own memory. */
const maxStateBytes = 2 ** 20
/** Longer than it takes to make a state on a very busy computer. */
const makeTimeoutMs = 60_000

const findSwtpm = (): string =>
  findProgram({ name: 'swtpm', packages: 'swtpm on Debian, Ubuntu, Fedora, Arch and Homebrew' })

const words = ['socket', '--tpm2', '--tpmstate', 'dir=.,mode=0600'] as const

/** How the TPM is started. Throws if the program is not installed. */
export function tpmCompanion(): CompanionPlan {
  const { socket, pid } = companionFiles(name)
  return {
    name,
    commandLine: [
      findSwtpm(),
      ...words,
      ...['--ctrl', `type=unixio,path=${socket},mode=0600`],
      // It ends when QEMU does. The file with its pid is written once it listens.
      ...['--terminate', '--pid', `file=${pid}`],
    ],
    ready: { file: pid, text: /\d/ },
  }
}

/** The drivers of a PC without PCI Express, of 2009 and of ARM know one kind each. */
const drivers: Readonly<Record<MachineKind, string>> = { pc: 'tpm-tis', q35: 'tpm-crb', virt: 'tpm-tis-device' }

/** QEMU's arguments for the TPM. */
export const tpmArguments = (kind: MachineKind): string[] => [
  ...['-chardev', `socket,id=tpm,path=${companionFiles(name).socket}`],
  ...['-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
  ...['-device', JSON.stringify({ driver: drivers[kind], tpmdev: 'tpm0' })],
]

/** The TPM that hardware has after an edit. */
export const wantedTpm = (tpm: boolean | undefined, present: Tpm | undefined): Tpm | undefined =>
  tpm === undefined ? present : tpm ? ownTpm : undefined

/** Makes the state of a new TPM, with keys of its own, if the hardware has one and `before` had none. */
export async function makeTpm(folder: string, { tpm }: Pick<Hardware, 'tpm'>, before?: Tpm): Promise<void> {
  if (tpm === undefined || before !== undefined) return
  const program = findSwtpm()
  // It makes the state when it starts, and ends since the other end of its connection is closed.
  const child = spawn(program, [...words, '--flags', 'not-need-init', '--fd', '3', '--terminate'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    timeout: makeTimeoutMs,
    killSignal: 'SIGKILL',
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(0, 2000)
  })
  for (const end of child.stdio.slice(3)) end?.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => {
      reject(errorCode(cause) === 'ENOENT' ? programGone(program, cause) : cause)
    })
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new QemuProgramError('swtpm', code ?? signal, said))
    })
    for (const end of child.stdio.slice(3)) end?.destroy()
  })
  const file = await open(join(folder, tpm.state))
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

interface TpmPlace {
  /** The folder of a VM. */
  readonly folder: string
  readonly tpm?: Tpm | undefined
}

/**
 * Copies the state of a TPM, in one step. swtpm never writes into a file: what is read is the whole state of one moment, also while the VM
 * runs.
 */
export async function copyTpm(from: TpmPlace, to: TpmPlace): Promise<void> {
  if (from.tpm === undefined || to.tpm === undefined) return
  await replaceFile(join(to.folder, to.tpm.state), await readOwnBytes(join(from.folder, from.tpm.state), maxStateBytes))
}
