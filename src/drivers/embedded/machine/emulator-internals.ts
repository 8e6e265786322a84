/** The internals of v86 0.5.462 that a machine needs. */
export interface EmulatorInternals {
  readonly bus: { send(name: string, value: unknown): void }
  readonly v86: {
    readonly cpu: Cpu
    init(settings: unknown): void
    next_tick(delayMs: number): void
    save_state(): ArrayBuffer
    restore_state(state: ArrayBufferLike): void
  }
}

interface Cpu {
  readonly memory_map_read8: unknown[]
  readonly memory_map_write8: unknown[]
  readonly memory_map_read32: unknown[]
  readonly memory_map_write32: unknown[]
  /** Runs the guest for a slice; returns how many milliseconds it may rest. */
  main_loop: () => unknown
  readonly devices: {
    readonly uart0: Uart
    readonly uart1: Uart
    readonly rtc: Rtc
    readonly ps2: { readonly kbd_buffer: { readonly length: number } }
    readonly vga: VgaDevice
    readonly cdrom: CdromDrive
    readonly fdc: { readonly drives: readonly FloppyDrive[] }
    readonly pci: { readonly devices: readonly (PciDevice | undefined)[] }
  }
  readonly wasm_memory: { readonly buffer: ArrayBuffer }
  zero_memory: (this: void, address: number, bytes: number) => void
  svga_allocate_dest_buffer(pixels: number): number
}

/** The clock of the CMOS. Times are those of a `Date`. */
export interface Rtc {
  readonly periodic_interrupt: boolean
  readonly next_interrupt: number
  /** 0 if there is no alarm. */
  readonly next_interrupt_alarm: number
  readonly update_interrupt: boolean
  readonly update_interrupt_time: number
}

interface Uart {
  readonly input: { readonly length: number }
}

interface CdromDrive {
  buffer: object | null
  medium_changed: number
  set_cdrom(buffer: object): void
}

interface FloppyDrive {
  eject_disk(): void
  insert_disk(image: Uint8Array, isReadOnly: boolean): boolean
}

export interface PciDevice {
  readonly pci_bars: (
    { readonly original_bar: number; readonly size: number; readonly entries: readonly [] } | undefined
  )[]
}

/** A part of the picture, and where it goes on the screen. */
export interface VgaLayer {
  readonly screen_x: number
  readonly screen_y: number
  readonly buffer_x: number
  readonly buffer_y: number
  readonly buffer_width: number
  readonly buffer_height: number
}

export interface VgaDevice {
  readonly graphical_mode: boolean
  readonly screen_width: number
  readonly screen_height: number
  readonly virtual_width: number
  readonly virtual_height: number
  readonly max_cols: number
  readonly max_rows: number
  readonly max_scan_line: number
  readonly clocking_mode: number
  readonly attribute_mode: number
  readonly character_map_select: number
  /** The font: 8 pages of 256 glyphs of 32 lines. */
  readonly plane2: Uint8Array
  readonly screen: VgaScreen
  image_data: { readonly data: Uint8ClampedArray } | undefined
  dest_buffet_offset: number
  complete_redraw(): void
  complete_replot(): void
  update_layers(): void
  screen_fill_buffer(): void
  text_mode_redraw: () => void
}

/** The screen that the VGA device draws on. Its methods are replaced while a screenshot is taken. */
interface VgaScreen {
  FLAG_FONT_PAGE_B?: number
  put_char: (
    this: void,
    row: number,
    column: number,
    character: number,
    flags: number,
    background: number,
    foreground: number,
  ) => void
  update_buffer: (this: void, layers: readonly VgaLayer[]) => void
}

/** Whether the emulator has these internals, as far as can be seen before a machine is initialised. */
export const hasInternals = (emulator: object): emulator is EmulatorInternals => {
  const { bus, v86 } = emulator as { bus?: { send?: unknown }; v86?: Record<string, unknown> }
  return (
    typeof bus?.send === 'function' &&
    typeof v86?.['init'] === 'function' &&
    typeof v86['next_tick'] === 'function' &&
    typeof v86['save_state'] === 'function' &&
    typeof v86['cpu'] === 'object'
  )
}
