import type { ProgramEnd, ProgramIo } from '../../driver/program-io.js'
import { OutcomeUnknownError } from '../../errors.js'
import type { GuestProgram, GuestWay } from '../../guest/guest-way.js'
import { refusedOption } from '../../guest/refusals.js'
import { wrappedProgram } from '../../guest/wrapped-program.js'
import { GuestProgramRun, type PrlctlGuest } from './guest-program.js'
import { placeLine } from './place-line.js'

/** How often a program that changes nothing is started, if prlctl does not say whether it has run. */
const attempts = 3

/** Runs programs in the guest of a VM with `prlctl exec`. */
export class ParallelsWay implements GuestWay {
  readonly driver = 'parallels'
  readonly #guest: PrlctlGuest
  readonly #explain: (error: unknown) => Promise<unknown>

  /** @param explain the error of awaitvm for a failure of Parallels */
  constructor(guest: PrlctlGuest, explain: (error: unknown) => Promise<unknown>) {
    this.#guest = guest
    this.#explain = explain
  }

  get vm(): string {
    return this.#guest.vm
  }

  async run(program: GuestProgram, io: ProgramIo, signal: AbortSignal): Promise<ProgramEnd> {
    if (program.pty !== undefined) throw refusedOption('pty', 'prlctl exec gives programs no terminal', otherWay)
    for (let attempt = 1; ; attempt += 1) {
      const wrapped = wrappedProgram(program, io, this.driver)
      const hasBegun = (): boolean => wrapped.pid !== undefined
      const { isHarmless } = program
      const run = new GuestProgramRun(this.#guest, wrapped.argv, wrapped.io, { signal, isHarmless, hasBegun })
      try {
        const end = await run.result(await placeLine(this.#guest, run.commandLine, signal))
        // If output got lost, the report of the begin may have been in it.
        if (end.isTruncated !== true) wrapped.requireBegun(end)
        return end
      } catch (error) {
        const mayHaveRun = run.hasBegun || isHarmless !== true || io.input !== undefined || signal.aborted
        if (attempt < attempts && !mayHaveRun && error instanceof OutcomeUnknownError) continue
        throw await this.#explain(error)
      }
    }
  }
}

const otherWay = 'Reach the guest by SSH for that.'
