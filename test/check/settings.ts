/** What a check is told to do. */
export interface CheckSettings {
  /** As it is told by a `Server`. */
  readonly uri: string
  /** What the names of all VMs begin with that this check makes, and no other's do. */
  readonly prefix: string
  /** The name of a VM of the check's own that has a guest, which is cloned for each case that needs one. */
  readonly base: string | undefined
  /** The subjects that are checked; all but the heavy ones where it is absent. */
  readonly subjects: readonly string[] | undefined
}

declare module 'vitest' {
  interface ProvidedContext {
    check: CheckSettings
  }
}

/** How long a case may take, and how long a guest may take to come up, in milliseconds. */
export const caseTimeoutMs = 900_000
export const guestTimeoutMs = 300_000

/** Hosts on which a guest can only be had by a clone; the others have one that comes with awaitvm. */
export const needsTemplate = (scheme: string): boolean => scheme.startsWith('parallels')
