/** What a machine boots. Bytes in a `SharedArrayBuffer` are shared by machines instead of copied. */
export type MachineBoot =
  | { readonly kind: 'guest' }
  | {
      readonly kind: 'linux'
      /** A bzImage, or a multiboot image, which is booted as it is. */
      readonly kernel: Uint8Array
      readonly initrd?: Uint8Array | undefined
      /** A cpio archive that follows the initrd in memory: the kernel unpacks both. */
      readonly addedArchive?: Uint8Array | undefined
      readonly commandLine?: string | undefined
    }
  | { readonly kind: 'firmware'; readonly bios: Uint8Array; readonly videoBios?: Uint8Array | undefined }

/** Where the changed blocks of a disk are. The base image is never written to. */
export type DiskOverlaySpec =
  | { readonly kind: 'memory'; readonly content?: Uint8Array | undefined }
  | { readonly kind: 'file'; readonly path: string }

export interface DiskSpec {
  /** Path of a raw image, opened read-only. The disk is blank if absent. */
  readonly base?: string | undefined
  /** Size of the disk in bytes, a multiple of 512. A smaller size than the base image's cuts the image off. */
  readonly sizeBytes: number
  readonly overlay: DiskOverlaySpec
}

export interface MediumSpec {
  /** Path of the image, opened read-only. */
  readonly path: string
}

/** A BIOS boots from the first of these that is bootable. Only orders that v86's CMOS setting can express are honoured. */
export type BootDevice = 'disk' | 'cdrom' | 'floppy'

export interface MachineSpec {
  readonly memoryMiB: number
  readonly boot: MachineBoot
  /** At most two: the primary IDE channel's master and slave. */
  readonly disks?: readonly DiskSpec[] | undefined
  /** The secondary IDE channel's master. An empty drive is always there. */
  readonly cdrom?: MediumSpec | undefined
  /** In at most two drives. Guests may write to a floppy, but what they write is lost with the machine. */
  readonly floppies?: readonly (MediumSpec | undefined)[] | undefined
  readonly bootOrder?: readonly BootDevice[] | undefined
  /** The result of `saveState` of a machine with the same memory, boot and devices: the machine resumes from it. */
  readonly initialState?: Uint8Array | undefined
  /** The drives whose medium is another than when the state was saved, or gone: `cdrom0`, `floppy1`. */
  readonly changedDrives?: readonly string[] | undefined
}

/** `acpi`: the guest powered off. `halted`: it halted its CPU with interrupts off, as a kernel without ACPI does. */
export type PowerOffReason = 'acpi' | 'halted'

export interface MachineStatistics {
  /** Instructions that the guest has executed since the machine was powered on or restored. */
  readonly instructions: number
  /** Milliseconds of processor time that the thread has used, if Node tells. */
  readonly cpuTimeMs: number | undefined
  /** Milliseconds for which the machine has run, pauses excluded. */
  readonly uptimeMs: number
  readonly diskReadBytes: number
  readonly diskWriteBytes: number
}

/** A picture of the screen: 8 bits each of red, green, blue and alpha, row by row from the top. */
export interface Frame {
  readonly width: number
  readonly height: number
  readonly rgba: Uint8Array
}

/** The events of a machine. */
export interface MachineEvents {
  /** Bytes that the guest wrote to its serial port, one call per slice of execution. */
  output?(bytes: Uint8Array): void
  /** Bytes that the guest wrote to its second serial port, one call per slice of execution. */
  portOutput?(bytes: Uint8Array): void
  /** The guest is off for good; its disks can still be exported. */
  powerOff?(reason: PowerOffReason): void
  /** The guest rebooted; the machine starts again by itself. */
  reset?(): void
  /** The host has no room for what the guest writes to a disk: the machine pauses, and what was written waits for `resume`. */
  diskFull?(error: Error): void
  /** The machine has crashed: a triple fault, or a fault of the emulator itself. */
  crash?(error: Error): void
}

/** The requests to a machine in a thread. */
export interface MachineCalls {
  load(spec: MachineSpec): void
  start(): void
  pause(): void
  resume(): void
  reset(): void
  pressPowerButton(): void
  withdrawPowerButton(): boolean
  sendSerial(bytes: Uint8Array): void
  sendPort(bytes: Uint8Array): void
  sendScancodes(codes: readonly number[]): void
  saveState(): Uint8Array
  exportDisk(index: number): Uint8Array
  screenshot(): Frame
  statistics(): MachineStatistics
}

/** An error in the form in which it leaves a thread, where it loses its class. */
export type Failure =
  | {
      readonly kind: 'bootImage'
      readonly file: 'kernel' | 'initrd' | 'commandLine' | 'firmware'
      readonly reason: string
    }
  | {
      readonly kind: 'disk'
      readonly path: string | undefined
      readonly reason: string
      /** The error code of the system, if the system failed. */
      readonly code: string | undefined
    }
  | { readonly kind: 'savedState'; readonly reason: string }
  | { readonly kind: 'inputFull'; readonly limit: number }
  | { readonly kind: 'stopped' }
  | {
      readonly kind: 'other'
      readonly name: string
      readonly message: string
      readonly code: string | undefined
      readonly stack: string | undefined
    }

export type RequestMessage = {
  [Method in keyof MachineCalls]: {
    readonly type: 'request'
    readonly id: number
    readonly method: Method
    readonly args: Parameters<MachineCalls[Method]>
  }
}[keyof MachineCalls]

export type MachineMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'value'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failure'; readonly id: number; readonly failure: Failure }
  | { readonly type: 'output'; readonly bytes: Uint8Array }
  | { readonly type: 'portOutput'; readonly bytes: Uint8Array }
  | { readonly type: 'codeCache'; readonly bytes: Uint8Array | undefined }
  | { readonly type: 'powerOff'; readonly reason: PowerOffReason }
  | { readonly type: 'reset' }
  | { readonly type: 'diskFull'; readonly failure: Failure }
  | { readonly type: 'crash'; readonly failure: Failure }
