import type { Capability } from '../../driver/driver.js'
import type { ConnectOptions } from '../../connect.js'
import type { ConformanceHost } from './host.js'
import type { Trial } from './trial.js'

interface CaseOptions {
  /** How the connection is made. */
  readonly connect?: ConnectOptions
  /** Longest time that the case may take, if a host may need longer than for any other case. */
  readonly timeoutMs?: number
}

/**
 * What a case needs of a host; `'guest'`: the capabilities through which its guest is talked to; `'agent'`: a guest whose
 * agent answers.
 */
export type Need = Capability | 'guest' | 'agent'

/** Collects the cases of one subject for one host. */
export interface Conformance {
  readonly host: ConformanceHost
  /**
   * Checks one promise. If the host lacks one of the capabilities, it is checked instead that it refuses the operation and
   * changes nothing.
   */
  promises(title: string, needs: readonly Need[], run: (trial: Trial) => Promise<void>, options?: CaseOptions): void
}

/** The cases of one subject. */
export type Cases = (conformance: Conformance) => void
