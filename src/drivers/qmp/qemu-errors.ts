import { abortedError } from '../../errors/cancelled.js'
import { errnoError, mountWritable } from '../../errors/errno.js'
import { nativeErrorOf } from '../../errors/native.js'
import {
  HostError,
  InsufficientResourcesError,
  PermissionDeniedError,
  ProtocolError,
  ResourceBusyError,
  VmError,
  type NativeError,
} from '../../errors.js'
import { ownTpm } from './hardware/tpm-state.js'
import { QmpCommandError, QmpTimeoutError } from './protocol/qmp-errors.js'
import { damagedFile } from '../../registry/file-problem.js'
import { NotOwnError } from '../../registry/own-file.js'

/** A program of QEMU failed; the message is what it printed. */
export class QemuProgramError extends Error {
  /** The exit code, or the signal that ended the program. */
  readonly exit: number | NodeJS.Signals | null

  constructor(program: string, exit: number | NodeJS.Signals | null, said: string) {
    super(said.trim() === '' ? `${program} ended with ${String(exit)}, and printed nothing` : said.trim())
    this.name = 'QemuProgramError'
    this.exit = exit
  }
}

export function nativeError(error: unknown): NativeError {
  const native = nativeErrorOf('qmp', error)
  if (error instanceof QmpCommandError) return { ...native, code: error.errorClass }
  if (error instanceof QemuProgramError && error.exit !== null) return { ...native, code: error.exit }
  return native
}

type Kind = new (options: { reason: string; hint: string; native: NativeError; cause: unknown }) => VmError

/** QEMU's error texts, and what they mean. QEMU has one class for nearly all errors, so that only the text tells them apart. */
const meanings: readonly { readonly words: RegExp; readonly Kind: Kind; readonly hint: string }[] = [
  {
    words: /No space left on device|Disk quota exceeded/,
    Kind: InsufficientResourcesError,
    hint: 'Make room on the disk, and try again.',
  },
  {
    words: /Cannot allocate memory|cannot set up guest memory|failed to allocate/i,
    Kind: InsufficientResourcesError,
    hint: 'Give the VM less memory, or stop other VMs.',
  },
  {
    words: /Failed to get (?:shared )?"\w+" lock|Cannot lock pid file|in use by block job/,
    Kind: ResourceBusyError,
    hint: 'Another process uses it: wait until that has released it.',
  },
  // QEMU's text for a lock also contains the second of these, so that this entry comes later.
  {
    words: /Too many open files|Resource temporarily unavailable|pthread_create failed|create thread/i,
    Kind: InsufficientResourcesError,
    hint: 'Stop other VMs, or raise the limits of this process.',
  },
  {
    words: /Read-only file system/,
    Kind: PermissionDeniedError,
    hint: mountWritable,
  },
  {
    words: /Permission denied|Operation not permitted/,
    Kind: PermissionDeniedError,
    hint: 'Check the permissions of that path.',
  },
  {
    words: /TPM result for CMD_INIT/,
    Kind: ProtocolError,
    hint: `The state of its TPM, ${ownTpm.state}, can't be read: put it back from a copy, or take the TPM away with vm.edit({ tpm: false }).`,
  },
  {
    words: /load of migration failed|Missing section footer|does not have the requested snapshot|Size mismatch/,
    Kind: ProtocolError,
    hint: "The saved memory can't be read. Drop it with vm.stop({ mode: 'kill' }).",
  },
]

/** The SDK's error for an error of QEMU, its files or its programs. */
export function qemuError(error: unknown): VmError {
  if (error instanceof VmError) return error
  if (error instanceof NotOwnError) {
    const hint = 'Put back the file that was there, or remove this one.'
    return damagedFile(error.path, error, { driver: 'qmp', hint })
  }
  const aborted = abortedError(error)
  if (aborted !== undefined) return aborted
  const native = nativeError(error)
  const options = { reason: native.message, cause: error, native }
  if (error instanceof QmpTimeoutError) {
    const hint = 'QEMU is stopped or busy, or another process keeps its monitor.'
    return new ResourceBusyError({ ...options, hint })
  }
  const meaning = meanings.find(({ words }) => words.test(native.message))
  if (meaning !== undefined) return new meaning.Kind({ ...options, hint: meaning.hint })
  return errnoError(error, native) ?? new HostError(options)
}
