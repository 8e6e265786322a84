import type { JsonObject, JsonValue } from '../../model/json.js'

/** A command of `vm.native.qmp`. */
export interface SimulatedQmpCommand {
  /** Its name. */
  readonly command: string
  /** Its arguments; empty if it has none. */
  readonly arguments: JsonObject
  /** The VM's name. */
  readonly vm: string
}

/**
 * Answers commands of `vm.native.qmp` as QEMU would, now or later. `undefined` means that QEMU has no such command. A `VmError` that it
 * throws is how the call ends.
 */
export type QmpHandler = (command: SimulatedQmpCommand) => JsonValue | undefined | Promise<JsonValue | undefined>
