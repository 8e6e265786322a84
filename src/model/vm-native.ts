/** What only QEMU has to tell of a VM. */
export interface QemuNative {
  /** The driver that told it. */
  readonly driver: 'qmp'
  /** QEMU's program and its arguments, word for word: with which it was started, or would be. It is started in the VM's folder. */
  readonly commandLine: readonly string[]
}

/** What only Parallels has to tell of a VM. */
export interface ParallelsNative {
  /** The driver that told it. */
  readonly driver: 'parallels'
  /** Whether it is a template, which is cloned and never started. */
  readonly isTemplate: boolean
}

/** What only one kind of host has to tell of a VM; `driver` tells which it is. */
export type VmNative = QemuNative | ParallelsNative
