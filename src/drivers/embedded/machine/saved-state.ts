import type { PowerManagementState } from './power-management.js'

/** A saved machine state that does not fit the machine. `reason` completes the sentence "the saved state ...". */
export class SavedStateError extends Error {
  override readonly name = 'SavedStateError'
  readonly reason: string

  constructor(reason: string, options?: ErrorOptions) {
    super(`The saved state ${reason}`, options)
    this.reason = reason
  }
}

/** What a machine is loaded from besides the state of its emulator. */
export interface SavedMachine {
  readonly memoryMiB: number
  readonly power: PowerManagementState
}

const magic = 'AWVMSTA2'
const trailerSize = 24
/** Where v86 keeps the length of its state. It ignores what follows its parts, but the length must count it. */
const lengthOffset = 8

/**
 * The state of the emulator, and after it that of the machine: so the emulator loads it without a copy. It is in memory that
 * threads share, and is never changed.
 */
export const encodeSavedState = ({ memoryMiB, power }: SavedMachine, emulator: Uint8Array): Uint8Array => {
  const size = emulator.byteLength + trailerSize
  const bytes = new Uint8Array(new SharedArrayBuffer(size))
  bytes.set(emulator)
  new DataView(bytes.buffer).setUint32(lengthOffset, size, true)
  bytes.set(Buffer.from(magic, 'latin1'), emulator.byteLength)
  const trailer = trailerOf(bytes)
  trailer.setUint32(8, memoryMiB, true)
  trailer.setUint16(12, power.status, true)
  trailer.setUint16(14, power.enable, true)
  trailer.setUint16(16, power.control, true)
  return bytes
}

/** Whether the bytes end as a saved state does. */
export const isSavedState = (bytes: Uint8Array): boolean =>
  bytes.byteLength > trailerSize &&
  Buffer.from(bytes.subarray(-trailerSize)).toString('latin1', 0, magic.length) === magic

/** @throws SavedStateError if it is not a saved state, or the state of a machine with other memory */
export const decodeSavedState = (bytes: Uint8Array, memoryMiB: number): SavedMachine => {
  if (!isSavedState(bytes)) throw new SavedStateError('is not one that was saved here')
  const machine = machineIn(trailerOf(bytes))
  if (machine.memoryMiB !== memoryMiB) {
    throw new SavedStateError(
      `is of a machine with ${String(machine.memoryMiB)} MiB of memory, not ${String(memoryMiB)}`,
    )
  }
  return machine
}

const machineIn = (trailer: DataView): SavedMachine => ({
  memoryMiB: trailer.getUint32(8, true),
  power: {
    status: trailer.getUint16(12, true),
    enable: trailer.getUint16(14, true),
    control: trailer.getUint16(16, true),
  },
})

const trailerOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset + byteLength - trailerSize, trailerSize)

const formerMagic = 'AWVMSTA1'

/** The saved state from one of an earlier version of awaitvm, where that of the machine came first. */
export const fromFormerState = (bytes: Uint8Array): Uint8Array => {
  const isFormer =
    bytes.byteLength > trailerSize && Buffer.from(bytes.subarray(0, 8)).toString('latin1') === formerMagic
  if (!isFormer) return bytes
  const header = new DataView(bytes.buffer, bytes.byteOffset)
  return encodeSavedState(machineIn(header), bytes.subarray(trailerSize))
}
