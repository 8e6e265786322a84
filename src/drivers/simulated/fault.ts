import type { VmError } from '../../errors.js'
import type { FaultInput } from './fault-input.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { Duration } from './latency.js'

/** Selects the calls that a fault meets: those that match every given property. */
export interface FaultCalls {
  /** The VM's name or id; all VMs if absent. */
  readonly vm?: string | undefined
  /** The first call that it meets: the number of the call among those that match, from 1. Counting starts when the fault is added. */
  readonly call?: number | undefined
  /** The number of calls in a row that it meets. All if absent, but one if `call` is given. */
  readonly times?: number | undefined
  /** The share of those calls that it meets, from 0 to 1, chosen by the seed. 1 if absent. */
  readonly probability?: number | undefined
}

/** The calls that a fault meets, also by a part of their input. */
export type FaultSelection = FaultCalls &
  (
    | {
        /** The operation that is called; all if absent. `'connect'` is a call of `connect` with an intercepted URI. */
        readonly operation?: SimulatedOperation | undefined
        /** Not without an `operation` that takes an input. */
        readonly input?: undefined
      }
    | FaultInput
  )

/**
 * The call ends with this error at once, and nothing is done. A `JobCancelledError` becomes a `HostError`, as on every host that
 * reports a cancellation that nobody asked for.
 */
export interface ErrorFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'error'
  /** The error, or a function that makes one for each call. */
  readonly error: VmError | (() => VmError)
}

/** The operation never ends by itself. It ends when it is cancelled, if it can be, or times out. */
export interface HangFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'hang'
}

/** The connection breaks, and with it everything else that is under way on it. */
export interface LostConnectionFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'lostConnection'
  /**
   * `'inFlight'`, the default: it is unknown whether the operation takes place, and the job's status is `'unknown'`.
   * `'before'`: nothing was sent, and the call ends with a `ConnectionError`.
   */
  readonly moment?: 'before' | 'inFlight' | undefined
  /** In flight: `true` if the operation takes place on the host; `false` if absent. */
  readonly done?: boolean | undefined
  /**
   * Milliseconds until the connection is back. Until then, calls end with a `ConnectionError`. 0, the default: it is back for the
   * next call. `Infinity`: it never comes back.
   */
  readonly forMs?: number | undefined
  /**
   * `true`: the host tells what became of the jobs in flight once the connection is back, and they go on or end as on the host.
   * `false`, the default: they end with an `OutcomeUnknownError`.
   */
  readonly tells?: boolean | undefined
}

/** The operation takes this time instead of the host's `latency`. */
export interface SlowFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'slow'
  /** Milliseconds: a number, or the least and the most. */
  readonly latency: Duration
  /** The number of steps in which progress is reported; 4 if absent. */
  readonly steps?: number | undefined
}

/** The host refuses to cancel the operation, which goes on. */
export interface RefuseCancelFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'refuseCancel'
}

/** Another client changes the VM's state just before the operation, if the state allows it. */
export interface InterferenceFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'interference'
  /** What the other client does. */
  readonly change: InterferenceChange
}

/** The VM's guest crashes, if it runs. */
export interface CrashFault {
  /** Tells the kinds of faults apart. */
  readonly kind: 'crash'
  /** `'during'`, the default: half-way, and the operation fails. `'after'`: the operation succeeds before the guest crashes. */
  readonly moment?: 'during' | 'after' | undefined
  /** The host's message; `'the guest crashed'` if absent. */
  readonly message?: string | undefined
  /** After: the delay in milliseconds. 0, the default: as soon as the clock goes on. */
  readonly afterMs?: number | undefined
}

/** What another client may do to a VM. */
export type InterferenceChange = 'start' | 'stop' | 'pause' | 'resume' | 'suspend' | 'delete'

export const interferenceChanges = Object.keys({
  start: true,
  stop: true,
  pause: true,
  resume: true,
  suspend: true,
  delete: true,
} satisfies Record<InterferenceChange, true>) as readonly InterferenceChange[]

/** What goes wrong. */
export type FaultEffect =
  ErrorFault | HangFault | LostConnectionFault | SlowFault | RefuseCancelFault | InterferenceFault | CrashFault

/** Something that goes wrong, and the calls that it meets. If several faults meet one call, each has its effect. */
export type Fault = FaultSelection & FaultEffect

/** The faults that one call meets. */
export interface FaultPlan {
  interference: InterferenceChange[]
  error: (() => VmError) | undefined
  isHanging: boolean
  slow: SlowFault | undefined
  refusesCancel: boolean
  lost: LostConnectionFault | undefined
  crash: CrashFault | undefined
}
