/** What only QEMU has to tell of a VM. */
export interface QemuNative {
  /** The driver that told it. */
  readonly driver: 'qmp'
  /** QEMU's program and arguments, as it was started, or would be. It is started in the VM's folder. */
  readonly commandLine: readonly string[]
}

/** What only Parallels has to tell of a VM. */
export interface ParallelsNative {
  /** The driver that told it. */
  readonly driver: 'parallels'
  /** Whether the VM is a template: it can be cloned, not started. */
  readonly isTemplate: boolean
}

/** Details of a VM that only one kind of host has; `driver` names it. */
export type NativeDetails = QemuNative | ParallelsNative
