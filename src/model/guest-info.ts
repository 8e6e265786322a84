/** What a guest tells of itself. */
export interface GuestInfo {
  /** The name of its system: `'Linux'`, `'Windows'`. */
  readonly system: string
  /** The distribution's id: `'debian'`. */
  readonly distribution?: string | undefined
  /** The version of the distribution, or of the system: `'12'`. */
  readonly version?: string | undefined
  /** The release of the kernel: `'6.1.0-18-amd64'`. */
  readonly kernel?: string | undefined
  /** The guest's own name for itself. */
  readonly hostName: string
  /** The users who are logged in, each once. */
  readonly users: readonly string[]
  /** The guest's clock. */
  readonly time: Date
}
