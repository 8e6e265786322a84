/** QEMU refused a command, or failed to execute it. */
export class QmpCommandError extends Error {
  readonly command: string
  /** QMP's error class: `'GenericError'`, `'CommandNotFound'`, `'DeviceNotActive'`, ... */
  readonly errorClass: string

  constructor(command: string, errorClass: string, description: string) {
    super(description)
    this.name = 'QmpCommandError'
    this.command = command
    this.errorClass = errorClass
  }
}

/** The connection to QEMU is broken, or could not be made. */
export class QmpConnectionError extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause })
    this.name = 'QmpConnectionError'
  }
}

/** QEMU does not answer: it is stopped or busy, or another client has the monitor. */
export class QmpTimeoutError extends Error {
  constructor(what: string, timeoutMs: number) {
    super(`QEMU has not answered ${what} within ${String(timeoutMs)} ms`)
    this.name = 'QmpTimeoutError'
  }
}
