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

export interface SavedState {
  readonly memoryMiB: number
  readonly power: PowerManagementState
  readonly emulator: Uint8Array
}

const magic = 'AWVMSTA1'
const headerSize = 24

export const encodeSavedState = (state: SavedState): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(headerSize + state.emulator.byteLength)
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from(magic, 'latin1'))
  view.setUint32(8, state.memoryMiB, true)
  view.setUint16(12, state.power.status, true)
  view.setUint16(14, state.power.enable, true)
  view.setUint16(16, state.power.control, true)
  bytes.set(state.emulator, headerSize)
  return bytes
}

/** @throws SavedStateError if it is not a saved state, or the state of a machine with other memory */
export const decodeSavedState = (bytes: Uint8Array, memoryMiB: number): SavedState => {
  const isState = bytes.byteLength > headerSize && Buffer.from(bytes.subarray(0, 8)).toString('latin1') === magic
  if (!isState) throw new SavedStateError('is not one that was saved here')
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const savedMemory = view.getUint32(8, true)
  if (savedMemory !== memoryMiB) {
    throw new SavedStateError(`is of a machine with ${String(savedMemory)} MiB of memory, not ${String(memoryMiB)}`)
  }
  return {
    memoryMiB,
    power: {
      status: view.getUint16(12, true),
      enable: view.getUint16(14, true),
      control: view.getUint16(16, true),
    },
    emulator: bytes.subarray(headerSize),
  }
}
