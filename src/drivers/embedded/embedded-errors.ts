import {
  AlreadyExistsError,
  HostError,
  InsufficientResourcesError,
  InvalidArgumentError,
  InvalidStateError,
  JobCancelledError,
  PermissionDeniedError,
  ProtocolError,
  ResourceBusyError,
  VmError,
  VmNotFoundError,
  type NativeError,
} from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { operations, type OperationSpec } from '../../operations.js'
import type { Task } from '../../driver.js'
import { BootImageError } from './machine/boot-image-error.js'
import { DiskError } from './machine/disk-error.js'
import { SavedStateError } from './machine/saved-state.js'

export const nativeError = (error: unknown): NativeError => {
  const message = error instanceof Error ? error.message : String(error)
  const code = errorCode(error)
  return { driver: 'embedded', ...(code !== undefined && { code }), message }
}

export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

export const nameIsTaken = (name: string, id: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `there is a VM named ${JSON.stringify(name)} already, of the id ${id}`,
    hint: 'Choose another name, or delete that VM.',
  })

export const vmNotFound = (nameOrId: string): VmNotFoundError =>
  new VmNotFoundError({
    reason: `there is no VM of the name or id ${JSON.stringify(nameOrId)}`,
    hint: 'server.getVmList() tells which there are.',
  })

/** The guest has gone while something was being done to its VM, which is not done then. */
export function goneMeanwhile(task: Task | undefined, state: VmState): InvalidStateError | ResourceBusyError {
  const expected = task === undefined ? [] : expectedStates(task)
  if (!expected.includes(state)) return invalidState(state, expected)
  return new ResourceBusyError({ reason: `its guest went down meanwhile, and it is ${state}`, hint: 'Try again.' })
}

export const heldBy = (pid: number): ResourceBusyError =>
  new ResourceBusyError({
    pid,
    reason: pid === process.pid ? 'another connection of this process has it' : `the process ${String(pid)} has it`,
    hint: 'Stop it there, or wait until that process lets go of it.',
  })

const waysOut: Partial<Record<VmState, string>> = {
  stopped: 'Start it with vm.start().',
  running: "Stop it with vm.stop(), or take the power away with vm.stop({ mode: 'kill' }).",
  paused: "Resume it with vm.resume(), or take the power away with vm.stop({ mode: 'kill' }).",
  suspended: "Resume it with vm.resume(), or drop its saved state with vm.stop({ mode: 'kill' }).",
  crashed: 'Start it again with vm.start().',
}

/** Throws unless the VM's state is one of those that the operation needs. */
export function requireState(task: Task, state: VmState, expected: readonly VmState[] = expectedStates(task)): void {
  if (expected.includes(state)) return
  throw invalidState(state, expected)
}

export const invalidState = (state: VmState, expected: readonly VmState[]): InvalidStateError =>
  new InvalidStateError({
    state,
    expected,
    reason: `it is ${state}`,
    hint: waysOut[state] ?? `Wait until it is ${expected.join(' or ')}, with vm.waitForState().`,
  })

const expectedStates = ({ operation }: Task): readonly VmState[] => {
  const spec: OperationSpec = operations[operation]
  return spec.from ?? []
}

/** What went wrong with files, images and the emulator, as the SDK speaks of it. */
export function embeddedError(error: unknown): VmError {
  if (error instanceof VmError) return error
  if (error instanceof Error && error.name === 'AbortError')
    return new JobCancelledError({ reason: error.message, cause: error })
  const native = nativeError(error)
  if (error instanceof BootImageError) {
    const path = `boot.${error.file}`
    return new InvalidArgumentError({ path, reason: `the ${error.file} ${error.reason}`, cause: error, native })
  }
  if (error instanceof DiskError && error.cause === undefined) {
    return new InvalidArgumentError({ path: 'disks', reason: error.message, cause: error, native })
  }
  if (error instanceof SavedStateError) {
    const hint = "Drop the saved state with vm.stop({ mode: 'kill' })."
    return new ProtocolError({ reason: error.message, hint, cause: error, native })
  }
  return byErrno(error, native) ?? new HostError({ reason: native.message, cause: error, native })
}

function byErrno(error: unknown, native: NativeError): VmError | undefined {
  const options = { reason: native.message, cause: error, native }
  switch (errorCode(error) ?? errorCode(error instanceof Error ? error.cause : undefined)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new InsufficientResourcesError({ ...options, hint: 'Make room on the disk, and try again.' })
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'ERR_WORKER_OUT_OF_MEMORY':
      return new InsufficientResourcesError({ ...options, hint: 'Stop other VMs, and try again.' })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new PermissionDeniedError({ ...options, hint: 'Check the rights on that path.' })
    default:
      // What WebAssembly says when the memory of a machine can't be had.
      return error instanceof RangeError && /memory/i.test(error.message)
        ? new InsufficientResourcesError({ ...options, hint: 'Give the VM less memory, or stop other VMs.' })
        : undefined
  }
}
