import type { Capability } from '../../operations.js'
import type { ConnectOptions } from '../../connect.js'
import type { Vm } from '../../vm.js'
import type { DescribedHost } from './host.js'
import type { Trial } from './trial.js'

interface CaseOptions {
  /** How the connection is made. */
  readonly connect?: ConnectOptions
  /** Longest time that the case may take, if a host may need longer than for any other case. */
  readonly timeoutMs?: number
}

/**
 * What a case needs of a host, other than its capabilities:
 * - `'guest'`: a guest that it can talk to
 * - `'agent'`: a guest whose agent answers
 * - `'running VM'`: a VM that runs, whose guest has booted if the host has guests; see `GuestProfile.runsBare`
 */
export type Need = Capability | 'guest' | 'agent' | 'running VM'

/** Collects the cases of one subject for one host. */
export interface Conformance {
  readonly host: DescribedHost
  /**
   * Checks one promise. If the host lacks one of the capabilities, it is checked instead that it refuses the operation and
   * changes nothing.
   */
  promises(title: string, needs: readonly Need[], run: (trial: Trial) => Promise<void>, options?: CaseOptions): void
  /**
   * Checks a promise about the work inside a running VM, which has an agent and is left running. These cases of a subject share one
   * VM, since it takes longer to boot than most of them take.
   */
  promisesInGuest(
    title: string,
    needs: readonly Capability[],
    run: (vm: Vm, trial: Trial) => Promise<void>,
    options?: Pick<CaseOptions, 'timeoutMs'>,
  ): void
}

/** The cases of one subject. */
export type Cases = (conformance: Conformance) => void
