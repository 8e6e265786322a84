import { sciIrq } from './acpi.js'

export interface PowerManagementHooks {
  setIrq(irq: number, raised: boolean): void
  /** The guest requested power off; it must not execute another instruction. */
  powerOff(): void
  /** The guest requested a reset; it must not execute another instruction. */
  reset(): void
}

/** The registers in the form of a saved machine state. */
export interface PowerManagementState {
  readonly status: number
  readonly enable: number
  readonly control: number
}

/** The ports at which firmware and operating systems expect the block: SeaBIOS since 1.8 and QEMU, and older PC firmware. */
const bases: readonly number[] = [0x600, 0xb000]
const blockSize = 6

const powerButton = 0x100
const sciEnabled = 0x0001
const sleepEnable = 0x20
const sleepTypeMask = 0x1c

const keyboardController = 0x64
const systemControlPortA = 0x92
const resetControl = 0xcf9

/**
 * The PM1 event and control registers of ACPI (ACPI 6.5, 4.8.3), and the ports by which a PC is reset. The emulator
 * has neither power button nor power off, and its reset would jump into firmware that may not be there.
 */
export class PowerManagement {
  readonly #hooks: PowerManagementHooks
  #status = 0
  #enable = 0
  #control = sciEnabled

  constructor(hooks: PowerManagementHooks) {
    this.#hooks = hooks
  }

  get state(): PowerManagementState {
    return { status: this.#status, enable: this.#enable, control: this.#control }
  }

  /** Restores saved registers. The interrupt line is part of the emulator's own saved state. */
  restore(state: PowerManagementState): void {
    this.#status = state.status
    this.#enable = state.enable
    this.#control = state.control | sciEnabled
  }

  pressPowerButton(): void {
    this.#status |= powerButton
    this.#updateIrq()
  }

  /** `true` if the guest had not acknowledged a press, and now never will. */
  withdrawPowerButton(): boolean {
    if ((this.#status & powerButton) === 0) return false
    this.#status &= ~powerButton
    this.#updateIrq()
    return true
  }

  /** The value at a port, or `undefined` for a port of another device. */
  read(port: number, bytes: number): number | undefined {
    const offset = blockOffset(port)
    if (offset === undefined) return undefined
    const registers = this.#status | (this.#enable << 16)
    let value = 0
    for (let index = 0; index < bytes; index++) {
      const at = offset + index
      const byte = at < 4 ? registers >>> (8 * at) : at < blockSize ? this.#control >>> (8 * (at - 4)) : 0
      value |= (byte & 0xff) << (8 * index)
    }
    return value
  }

  /** `true` if the write was handled; `false` for a port of another device. */
  write(port: number, bytes: number, value: number): boolean {
    const offset = blockOffset(port)
    if (offset === undefined) {
      this.#writeResetPort(port, value)
      return false
    }
    for (let index = 0; index < bytes; index++) this.#writeByte(offset + index, (value >>> (8 * index)) & 0xff)
    return true
  }

  #writeByte(offset: number, byte: number): void {
    if (offset < 2) this.#status &= ~(byte << (8 * offset))
    else if (offset < 4) this.#enable = replaceByte(this.#enable, offset - 2, byte)
    else if (offset === 4) this.#control = replaceByte(this.#control, 0, byte) | sciEnabled
    else if (offset === 5) {
      this.#control = replaceByte(this.#control, 1, byte & ~sleepEnable)
      if ((byte & sleepEnable) !== 0 && (byte & sleepTypeMask) === 0) this.#hooks.powerOff()
    }
    this.#updateIrq()
  }

  #writeResetPort(port: number, value: number): void {
    const isReset =
      (port === keyboardController && (value & 0xf1) === 0xf0) ||
      (port === resetControl && (value & 0x04) !== 0) ||
      (port === systemControlPortA && (value & 0x01) !== 0)
    if (isReset) this.#hooks.reset()
  }

  #updateIrq(): void {
    this.#hooks.setIrq(sciIrq, (this.#status & this.#enable) !== 0)
  }
}

const replaceByte = (word: number, index: number, byte: number): number =>
  (word & ~(0xff << (8 * index))) | (byte << (8 * index))

const blockOffset = (port: number): number | undefined => {
  for (const base of bases) if (port >= base && port < base + blockSize) return port - base
  return undefined
}
