import type { VmError } from '../../errors.js'
import type { FaultInput } from './fault-input.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { Duration } from './latency.js'

/** Which calls a fault meets: those that fit everything that is given. */
interface FaultCalls {
  /** Name or id. */
  readonly vm?: string | undefined
  /** The first call that it meets, counted from 1 among those that fit from when the fault was added. */
  readonly call?: number | undefined
  /** How many calls in a row it meets; all if absent, and one where `call` is given. */
  readonly times?: number | undefined
  /** Of those, which share it meets, from 0 to 1, as the seed will have it. */
  readonly probability?: number | undefined
}

type FaultSelection = FaultCalls &
  (
    | {
        /** All operations if absent. `'connect'` is what `connect` asks of an intercepted URI. */
        readonly operation?: SimulatedOperation | undefined
        readonly input?: undefined
      }
    | FaultInput
  )

/**
 * The call ends with this error at once, before anything was done. A `JobCancelledError` becomes a `HostError`, as on every host
 * that says so though nobody has asked for it.
 */
interface ErrorFault {
  readonly kind: 'error'
  readonly error: VmError | (() => VmError)
}

/** The operation never comes to an end by itself: cancel it, where it can be. */
interface HangFault {
  readonly kind: 'hang'
}

/** The connection breaks. What else is under way on it is lost with it. */
export interface LostConnectionFault {
  readonly kind: 'lostConnection'
  /**
   * `'inFlight'`, the default: nobody knows whether the operation takes place, and the job's status is `'unknown'`.
   * `'before'`: nothing was sent, and the call ends with a `ConnectionError`.
   */
  readonly moment?: 'before' | 'inFlight' | undefined
  /** In flight: whether the operation takes place on the host; it does not if absent. */
  readonly done?: boolean | undefined
  /**
   * Milliseconds until the connection is back; calls meanwhile end with a `ConnectionError`. 0, the default: with the next
   * call. `Infinity`: never.
   */
  readonly forMs?: number | undefined
  /**
   * Whether jobs that were in flight learn the truth when it is back: then they go on, or end as they did. If not, which is
   * the default, they end with an `OutcomeUnknownError`.
   */
  readonly tells?: boolean | undefined
}

/** The operation takes so long, whatever `latency` says. */
interface SlowFault {
  readonly kind: 'slow'
  /** Milliseconds, or the least and the most of them. */
  readonly latency: Duration
  /** In how many steps of progress; 4 if absent. */
  readonly steps?: number | undefined
}

/** A cancel is refused, and the operation goes on. */
interface RefuseCancelFault {
  readonly kind: 'refuseCancel'
}

/** Another client does something to the VM just before; where it can't, nothing. */
interface InterferenceFault {
  readonly kind: 'interference'
  readonly change: InterferenceChange
}

/** The VM's guest dies, where it has one then. */
export interface CrashFault {
  readonly kind: 'crash'
  /** `'during'`, the default: half-way, and the operation fails. `'after'`: it succeeds, and then the guest dies. */
  readonly moment?: 'during' | 'after' | undefined
  /** What the host says of it. */
  readonly message?: string | undefined
  /** After: so many milliseconds later; 0, the default, is when the clock goes on. */
  readonly afterMs?: number | undefined
}

export const interferenceChanges = ['start', 'stop', 'pause', 'resume', 'suspend', 'delete'] as const
export type InterferenceChange = (typeof interferenceChanges)[number]

type FaultEffect =
  ErrorFault | HangFault | LostConnectionFault | SlowFault | RefuseCancelFault | InterferenceFault | CrashFault

/** Something that goes wrong: for which calls, and what. Several that meet one call all have their effect. */
export type Fault = FaultSelection & FaultEffect

/** What is to go wrong with one call. */
export interface FaultPlan {
  interference: InterferenceChange[]
  error: (() => VmError) | undefined
  isHanging: boolean
  slow: SlowFault | undefined
  refusesCancel: boolean
  lost: LostConnectionFault | undefined
  crash: CrashFault | undefined
}
