import type { Capability } from '../../src/operations.js'

/** The outcome of one case. */
export interface CaseOutcome {
  /** `lifecycle › a VM that is started runs` */
  readonly title: string
  readonly status: 'passed' | 'failed' | 'skipped'
  /** Why it was skipped, or how it failed. */
  readonly reason: string
  readonly needs: readonly Capability[]
  /** The capabilities whose refusal was checked, since the host lacks them. */
  readonly refused: readonly Capability[]
}

/** The outcome of all cases. */
export interface SuiteOutcome {
  readonly cases: readonly CaseOutcome[]
  /** Errors that prevented cases from running. */
  readonly errors: readonly string[]
}
