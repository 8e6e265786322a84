import type { ProgressUpdate } from '../../model/host-job.js'
import { guestGone } from '../../errors/state.js'
import type { CrashFault, FaultPlan } from './fault.js'
import type { SimulatedHost } from './host.js'
import { drawDuration, latencyOf } from './latency.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { SimulatedVm } from './simulated-vm.js'

/** What a course needs of its host. */
export type CourseHost = Pick<SimulatedHost, 'clock' | 'lifecycle' | 'latency' | 'random' | 'as'>

/** What a course needs of its run. */
interface Runner {
  wait(begin: (resolve: () => void) => () => void): Promise<void>
  report(progress: ProgressUpdate): void
}

/** The number of steps in which progress is reported. */
const usualSteps = 4
const usualCrash = 'the guest crashed'

/** The course of one call: the time that it takes, and the faults that it meets. */
export class Course {
  readonly #host: CourseHost
  readonly #operation: SimulatedOperation
  readonly #plan: FaultPlan | undefined
  readonly #latencyMs: number

  constructor(host: CourseHost, operation: SimulatedOperation, plan: FaultPlan | undefined) {
    this.#host = host
    this.#operation = operation
    this.#plan = plan
    const duration = plan?.slow?.latency ?? latencyOf(host.latency, operation)
    this.#latencyMs = duration === 0 ? 0 : drawDuration(duration, host.random)
  }

  get refusesCancel(): boolean {
    return this.#plan?.refusesCancel === true
  }

  /** Applies the faults that come before the operation: changes by other clients, and the error that the call ends with. */
  begin(vm: SimulatedVm | undefined): void {
    const plan = this.#plan
    if (plan === undefined) return
    const { lifecycle } = this.#host
    for (const change of vm === undefined ? [] : plan.interference) {
      this.#host.as('another', () => {
        if (vm !== undefined) lifecycle.interfere(vm, change)
      })
    }
    if (plan.error !== undefined) throw plan.error()
  }

  takesTime(vm: SimulatedVm | undefined): boolean {
    const crashes = vm !== undefined && this.#crashDuring !== undefined
    return this.#latencyMs > 0 || this.#plan?.isHanging === true || crashes
  }

  /** Takes the time of the call, step by step. */
  async spend(run: Runner, vm: SimulatedVm | undefined, phase: string | undefined): Promise<void> {
    const steps = this.#plan?.slow?.steps ?? usualSteps
    const timeOf = (step: number): number => Math.round((this.#latencyMs * step) / steps)
    const report = (step: number): void => {
      if (this.#latencyMs > 0 && step < steps) run.report({ percent: (100 * step) / steps, phase })
    }
    report(0)
    for (let step = 1; step <= steps; step += 1) {
      const ms = timeOf(step) - timeOf(step - 1)
      if (ms > 0) await run.wait((resolve) => this.#host.clock.after(ms, resolve))
      if (step === Math.ceil(steps / 2)) this.#crash(vm)
      report(step)
    }
    if (this.#plan?.isHanging === true) await run.wait(() => () => undefined)
  }

  /** Applies the faults that come after the operation has succeeded. */
  end(vm: SimulatedVm | undefined): void {
    const crash = this.#plan?.crash
    if (vm === undefined || crash?.moment !== 'after') return
    const { clock, lifecycle } = this.#host
    clock.after(crash.afterMs ?? 0, () => lifecycle.crash(vm, crash.message ?? usualCrash))
  }

  get #crashDuring(): CrashFault | undefined {
    const crash = this.#plan?.crash
    return crash?.moment === 'after' ? undefined : crash
  }

  #crash(vm: SimulatedVm | undefined): void {
    const crash = this.#crashDuring
    if (vm === undefined || crash === undefined) return
    const { message = usualCrash } = crash
    if (!this.#host.lifecycle.crash(vm, message)) return
    throw guestGone(this.#operation, vm.state, { driver: 'simulated', message })
  }
}
