import type { Emulator } from './emulator.js'
import { PacedQueue } from './paced-queue.js'

/** The size of a UART's FIFO. More at once could overrun a guest that reads slowly. */
const serialRoom = 16
/** Linux reads all that there is each time the port interrupts it, and those who send wait until it was read. */
const portRoom = 4096
const keyboardRoom = 16
const maxSerialBacklog = 0x10_0000
const maxKeyBacklog = 4096

/** What waits for a guest to read it. */
export class GuestInput {
  readonly serial = new PacedQueue(maxSerialBacklog)
  readonly port = new PacedQueue(maxSerialBacklog)
  readonly keys = new PacedQueue(maxKeyBacklog)

  /** Passes on as much as the devices have room for. `true` if that was anything. */
  feed(emulator: Emulator): boolean {
    const serial = this.serial.feed(serialRoom - emulator.serialBacklog, (byte) => emulator.sendSerialByte(byte))
    const port = this.port.feed(portRoom - emulator.portBacklog, (byte) => emulator.sendPortByte(byte))
    const keys = this.keys.feed(keyboardRoom - emulator.keyboardBacklog, (code) => emulator.sendScancode(code))
    return serial || port || keys
  }

  /** Drops it: the guest begins anew, or has ended. */
  clear(): void {
    this.serial.clear()
    this.port.clear()
    this.keys.clear()
  }
}
