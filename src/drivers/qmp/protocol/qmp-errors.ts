/** QEMU refused a command, or could not do it. */
export class QmpCommandError extends Error {
  readonly command: string
  /** QMP's own: `'GenericError'`, `'CommandNotFound'`, `'DeviceNotActive'`, ... */
  readonly errorClass: string

  constructor(command: string, errorClass: string, description: string) {
    super(description)
    this.name = 'QmpCommandError'
    this.command = command
    this.errorClass = errorClass
  }
}

/** There is no connection to QEMU any more, or there was none. */
export class QmpConnectionError extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause })
    this.name = 'QmpConnectionError'
  }
}

/** QEMU does not answer: it has stopped, is busy, or somebody else has the monitor. */
export class QmpTimeoutError extends Error {
  constructor(what: string, timeoutMs: number) {
    super(`QEMU has not answered ${what} within ${String(timeoutMs)} ms`)
    this.name = 'QmpTimeoutError'
  }
}
