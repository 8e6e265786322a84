import type { Capability } from '../../src/operations.js'

/** What became of one case. */
export interface CaseOutcome {
  /** `lifecycle › a VM that is started runs` */
  readonly title: string
  readonly status: 'passed' | 'failed' | 'skipped'
  /** Why it was skipped, or how it failed. */
  readonly reason: string
  readonly needs: readonly Capability[]
  /** What it was only checked of that the host says that it has it not. */
  readonly refused: readonly Capability[]
}

/** What became of the cases. */
export interface SuiteOutcome {
  readonly cases: readonly CaseOutcome[]
  /** What kept cases from being run at all. */
  readonly errors: readonly string[]
}
