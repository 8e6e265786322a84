/** The settings of a check. */
export interface CheckSettings {
  /** As in `server.uri`. */
  readonly uri: string
  /** The beginning of the names of all VMs that this check makes, and of no other VM. */
  readonly prefix: string
  /** The name of the check's own VM with a guest. It is cloned for each case that needs a guest. */
  readonly base: string | undefined
  /** The subjects to check; if absent, all but the heavy ones. */
  readonly subjects: readonly string[] | undefined
}

declare module 'vitest' {
  interface ProvidedContext {
    check: CheckSettings
  }
}

/** Time limits of a case and of a guest's boot, in milliseconds. */
export const caseTimeoutMs = 900_000
export const guestTimeoutMs = 300_000

/** True for hosts on which only a clone can have a guest. The others have one that comes with awaitvm. */
export const needsTemplate = (scheme: string): boolean => scheme.startsWith('parallels')
