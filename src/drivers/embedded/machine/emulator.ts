import type { V86 } from 'v86'
import type { Disk } from './disk.js'
import { type EmulatorInternals, hasInternals, type PciDevice, type VgaDevice } from './emulator-internals.js'
import type { EmulatorCode } from './emulator-code.js'
import { loadEmulatorScript, type V86Constructor } from './emulator-script.js'
import { idleDelay, longIdleDelayMs } from './idle-delay.js'
import { withSparsePorts } from './sparse-ports.js'
import { instantiate, type WasmExports, type WasmImports } from './wasm-module.js'

export interface EmulatorOptions {
  readonly code: EmulatorCode
  readonly memoryBytes: number
  readonly videoMemoryBytes: number
  readonly multiboot?: ArrayBuffer | undefined
  readonly initrd?: ArrayBuffer | undefined
  readonly commandLine?: string | undefined
  readonly bios?: ArrayBuffer | undefined
  readonly videoBios?: ArrayBuffer | undefined
  readonly disks: readonly Disk[]
  readonly cdrom: Disk | undefined
  readonly floppies: readonly (ArrayBuffer | undefined)[]
  /** In the form of the CMOS: one digit per device, the first one lowest. */
  readonly bootOrder: number
}

export interface EmulatorHooks {
  /** The value at a port, or `undefined` to let the emulator's own device answer. */
  readPort(port: number, bytes: number): number | undefined
  /** `true` if the write was handled. If it throws, the guest executes no further instruction. */
  writePort(port: number, bytes: number, value: number): boolean
  serialOutput(byte: number): void
  portOutput(byte: number): void
  /** A slice of execution has ended. `true` if the guest was given input during it. */
  sliceEnded(): boolean
  /** The CPU was halted with interrupts off. */
  halted(): void
  /** The guest can run no more: the emulator failed, or a hook threw. */
  died(error: unknown): void
}

/** The flags of v86 for a CD-ROM drive whose medium has changed, until the guest has seen that. */
const mediumChanged = 2

/** Where the memory ends that v86 has put firmware into. */
const firmwareEnd = 0x10_0000

type PortRead = (port: number) => number

/** One v86, whose I/O ports, main loop and failures are under the control of hooks. */
export class Emulator {
  readonly #hooks: EmulatorHooks
  readonly #v86: V86 & EmulatorInternals
  readonly #setIrqLine: (irq: number, raised: boolean) => void
  readonly #instructions: () => number
  readonly #drawText: () => void

  private constructor(
    hooks: EmulatorHooks,
    v86: V86 & EmulatorInternals,
    setIrqLine: (irq: number, raised: boolean) => void,
  ) {
    this.#hooks = hooks
    this.#v86 = v86
    this.#setIrqLine = setIrqLine
    this.#instructions = () => v86.get_instruction_counter()
    v86.add_listener('serial0-output-byte', (byte) => this.#hooks.serialOutput(byte))
    v86.add_listener('serial1-output-byte', (byte) => this.#hooks.portOutput(byte))
    // Drawing is off but for screenshots: v86 would redraw text whenever the guest sets the video mode.
    const { vga } = v86.v86.cpu.devices
    this.#drawText = vga.text_mode_redraw.bind(vga)
    vga.text_mode_redraw = () => undefined
  }

  /** Loads a machine without running it. */
  static async load(options: EmulatorOptions, hooks: EmulatorHooks): Promise<Emulator> {
    const Constructor = loadEmulatorScript(options.code)
    let exports: WasmExports = {}
    const v86 = await new Promise<V86 & EmulatorInternals>((resolve, reject) => {
      const emulator = new Constructor(
        v86Options(options, async (imports) => {
          exports = await instantiate(options.code.wasm, interceptImports(imports, hooks))
          return exports
        }),
      )
      catchFailures(emulator, reject)
      emulator.add_listener('emulator-loaded', () => {
        if (hasInternals(emulator)) {
          interceptMainLoop(emulator.v86.cpu, hooks)
          resolve(emulator)
        } else reject(new Error('This version of v86 is not the one that awaitvm was made for'))
      })
    })
    const raise = functionOf(exports, 'device_raise_irq')
    const lower = functionOf(exports, 'device_lower_irq')
    return new Emulator(hooks, v86, (irq, raised) => {
      const setLine = raised ? raise : lower
      setLine(irq)
    })
  }

  get instructions(): number {
    return this.#instructions()
  }

  get vga(): VgaDevice {
    return this.#v86.v86.cpu.devices.vga
  }

  /** Makes the VGA device draw each character of its text. */
  drawText(): void {
    this.#drawText()
  }

  /** Bytes that were sent to the serial port and that the guest has not read. */
  get serialBacklog(): number {
    return this.#v86.v86.cpu.devices.uart0.input.length
  }

  /** Bytes that were sent to the second serial port and that the guest has not read. */
  get portBacklog(): number {
    return this.#v86.v86.cpu.devices.uart1.input.length
  }

  /** Scancodes that the guest has not read. */
  get keyboardBacklog(): number {
    return this.#v86.v86.cpu.devices.ps2.kbd_buffer.length
  }

  run(): void {
    void this.#v86.run()
  }

  async pause(): Promise<void> {
    const stopped = this.#v86.stop()
    // An idle guest would only notice at its next timer.
    this.#v86.v86.next_tick(0)
    await stopped
  }

  saveState(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#v86.v86.save_state())
  }

  /** Restores a state into a machine that has not run. */
  restoreState(state: Uint8Array): void {
    const { v86 } = this.#v86
    const undo = fillPciBars(v86.cpu.devices.pci.devices)
    // The rest of its memory is zero, and is not used before the guest does.
    const zero = v86.cpu.zero_memory
    v86.cpu.zero_memory = (address) => zero(address, firmwareEnd)
    try {
      v86.restore_state(stateBuffer(state))
    } finally {
      v86.cpu.zero_memory = zero
      undo()
    }
  }

  /** Tells a restored guest that a drive has another medium, or none: the saved state has the former one. */
  changeMedia(drives: readonly string[], { cdrom, floppies }: Pick<EmulatorOptions, 'cdrom' | 'floppies'>): void {
    const { devices } = this.#v86.v86.cpu
    if (drives.includes('cdrom0')) {
      if (cdrom === undefined) {
        devices.cdrom.buffer = null
        devices.cdrom.medium_changed = mediumChanged
      } else devices.cdrom.set_cdrom(cdrom)
    }
    for (const [index, drive] of devices.fdc.drives.entries()) {
      if (!drives.includes(`floppy${String(index)}`)) continue
      const floppy = floppies[index]
      drive.eject_disk()
      if (floppy !== undefined) drive.insert_disk(new Uint8Array(floppy), false)
    }
  }

  sendSerialByte(byte: number): void {
    this.#v86.bus.send('serial0-input', byte)
  }

  sendPortByte(byte: number): void {
    this.#v86.bus.send('serial1-input', byte)
  }

  sendScancode(code: number): void {
    this.#v86.bus.send('keyboard-code', code)
  }

  setIrq(irq: number, raised: boolean): void {
    this.#setIrqLine(irq, raised)
  }

  /** Memory for a picture of so many pixels, 4 bytes each, where the VGA device can draw it. */
  allocatePicture(pixels: number): { readonly address: number; readonly data: Uint8ClampedArray } {
    const { cpu } = this.#v86.v86
    const address = cpu.svga_allocate_dest_buffer(pixels) >>> 0
    return { address, data: new Uint8ClampedArray(cpu.wasm_memory.buffer, address, 4 * pixels) }
  }

  async destroy(): Promise<void> {
    await this.#v86.destroy()
  }
}

const v86Options = (
  options: EmulatorOptions,
  instantiateModule: (imports: WasmImports) => Promise<WasmExports>,
): ConstructorParameters<V86Constructor>[0] => {
  const [hda, hdb] = options.disks
  const [fda, fdb] = options.floppies
  // v86 takes objects with `get`, `set` and `load` as disks, and an unknown network type as no network. Its types don't say so.
  const settings: object = {
    wasm_fn: instantiateModule,
    memory_size: options.memoryBytes,
    vga_memory_size: options.videoMemoryBytes,
    autostart: false,
    // The hooks provide the power management registers. v86's own would lower the interrupt line that those raise.
    acpi: false,
    disable_speaker: true,
    uart1: true,
    disable_mouse: true,
    disable_keyboard: true,
    net_device: { type: 'none' },
    boot_order: options.bootOrder,
    cmdline: options.commandLine,
    multiboot: file(options.multiboot),
    initrd: file(options.initrd),
    bios: file(options.bios),
    vga_bios: file(options.videoBios),
    hda,
    hdb,
    cdrom: options.cdrom,
    fda: file(fda),
    fdb: file(fdb),
  }
  return settings
}

const file = (buffer: ArrayBuffer | undefined): { readonly buffer: ArrayBuffer } | undefined => buffer && { buffer }

/** Lets the hooks handle every I/O port first, and keeps the emulator's messages off the console. */
const interceptImports = (imports: WasmImports, hooks: EmulatorHooks): WasmImports => {
  const env: Record<string, unknown> = { ...imports['env'] }
  for (const bytes of [1, 2, 4]) {
    const bits = String(8 * bytes)
    const read = functionOf(env, `io_port_read${bits}`) as PortRead
    const write = functionOf(env, `io_port_write${bits}`)
    env[`io_port_read${bits}`] = (port: number): number => hooks.readPort(port, bytes) ?? read(port)
    env[`io_port_write${bits}`] = (port: number, value: number): void => {
      if (!hooks.writePort(port, bytes, value)) write(port, value)
    }
  }
  env['cpu_event_halt'] = () => hooks.halted()
  env['console_log_from_wasm'] = () => undefined
  return { ...imports, env }
}

/** An exception in the main loop would be uncaught, in a timer, and the CPU would never run again. */
const interceptMainLoop = (cpu: EmulatorInternals['v86']['cpu'], hooks: EmulatorHooks): void => {
  const mainLoop = functionOf(cpu, 'main_loop')
  let dead = false
  cpu.main_loop = () => {
    if (dead) return longIdleDelayMs
    try {
      const delay = Number(mainLoop())
      return hooks.sliceEnded() ? 0 : idleDelay(delay, cpu.devices.rtc)
    } catch (error) {
      dead = true
      hooks.sliceEnded()
      hooks.died(error)
      return longIdleDelayMs
    }
  }
}

interface InitialisedEmulator {
  continue_init?: (machine: EmulatorInternals['v86'], settings: unknown) => Promise<void>
}

/** v86 fills these, one entry per 128 KiB of the address space. At full length from the start, they need not grow. */
const memoryMaps = ['memory_map_read8', 'memory_map_write8', 'memory_map_read32', 'memory_map_write32'] as const
const memoryMapLength = 2 ** 32 / 2 ** 17

/** v86 does not report failures of its set-up, which happen in its own callbacks. */
const catchFailures = (emulator: V86, reject: (error: Error) => void): void => {
  const target = emulator as object as InitialisedEmulator
  const continueInit = target.continue_init?.bind(emulator)
  if (continueInit === undefined) return
  target.continue_init = async (machine, settings) => {
    const init = machine.init.bind(machine)
    machine.init = (initSettings) => {
      try {
        for (const map of memoryMaps) machine.cpu[map].length = memoryMapLength
        withSparsePorts(() => {
          init(initSettings)
        })
      } catch (error) {
        // Not rethrown: it would be an unhandled rejection of a promise inside v86.
        reject(toError(error))
      }
    }
    await continueInit(machine, settings)
  }
}

/** v86 can't restore a PCI device that lacks one of its I/O ranges, as the IDE controller without a hard disk does. */
const fillPciBars = (devices: readonly (PciDevice | undefined)[]): (() => void) => {
  const filled: (() => void)[] = []
  for (const device of devices) {
    if (device === undefined) continue
    const { pci_bars: bars } = device
    for (let index = 0; index < bars.length; index++) {
      if (bars[index] !== undefined) continue
      bars[index] = { original_bar: 0, size: 0, entries: [] }
      filled.push(() => (bars[index] = undefined))
    }
  }
  return () => {
    for (const undo of filled) undo()
  }
}

const functionOf = (object: object, name: string): ((...args: number[]) => unknown) => {
  const value: unknown = Reflect.get(object, name)
  if (typeof value === 'function') return value as (...args: number[]) => unknown
  throw new Error(`This version of v86 has no ${name}`)
}

/** v86 takes the parts of a state by `slice` of its buffer, and they must not be shared. */
const stateBuffer = (bytes: Uint8Array): ArrayBufferLike => {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer || bytes.byteLength !== buffer.byteLength) return new Uint8Array(bytes).buffer
  const slice = (start: number, end: number): ArrayBuffer => new Uint8Array(buffer, start, end - start).slice().buffer
  return Object.defineProperty(buffer, 'slice', { value: slice, configurable: true })
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
