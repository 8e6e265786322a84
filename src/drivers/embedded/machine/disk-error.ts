/** A disk image or overlay that cannot be used. `reason` completes the sentence "the disk file ...". */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly path: string | undefined
  readonly reason: string

  constructor(path: string | undefined, reason: string, options?: ErrorOptions) {
    super(`The disk ${path === undefined ? 'overlay' : `file ${path}`} ${reason}`, options)
    this.path = path
    this.reason = reason
  }
}
