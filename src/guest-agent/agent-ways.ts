import type { Duplex } from 'node:stream'
import type { HostTask } from '../driver/host-task.js'
import type { ProgramEnd, ProgramIo } from '../driver/program-io.js'
import type { GuestProgram, GuestWay } from '../guest/guest-way.js'
import { refusedOption } from '../guest/refusals.js'
import { wrappedProgram } from '../guest/wrapped-program.js'
import type { GuestAgent } from './agent.js'
import { agentError } from './agent-errors.js'
import { GuestShell } from './guest-shell.js'
import { ShellOwners } from './shell-owners.js'
import { PortTakenError, ShellProgram } from './shell-program.js'
import { untilAnswered } from './until-answered.js'

/** The ways into guests by their agents, for one connection to a host. Programs of a guest share a shell there. */
export class AgentWays {
  /** By the id of the VM. */
  readonly #shells = new Map<string, Promise<GuestShell>>()
  readonly #owners = new ShellOwners()
  /** Those of the programs under way. */
  readonly #stops = new Set<AbortController>()

  into(guest: GuestAgent, task: HostTask): GuestWay {
    return {
      vm: guest.vm,
      driver: guest.driver,
      run: async (program, io, signal) => {
        try {
          return await this.#run(guest, task, program, io, signal)
        } catch (error) {
          throw agentError(error, task.operation, guest.driver)
        }
      },
    }
  }

  /** Ends the programs under way. What then removes unfinished work still runs. */
  stop(): void {
    for (const stop of this.#stops) stop.abort(new DOMException('the server was closed', 'AbortError'))
  }

  /** Ends the shells that have no program any more. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#shells.values()].map(async (shell) => (await shell).end()))
  }

  async #run(
    guest: GuestAgent,
    task: HostTask,
    program: GuestProgram,
    io: ProgramIo,
    signal: AbortSignal,
  ): Promise<ProgramEnd> {
    if (program.pty !== undefined)
      throw refusedOption('pty', 'the agent in a guest gives programs no terminal', otherWay)
    if (program.user !== undefined) {
      const { user: _user, env: _env, cwd: _cwd, ...others } = program
      const wrapped = wrappedProgram(program, io, guest.driver)
      const end = await this.#run(guest, task, { ...others, argv: wrapped.argv }, wrapped.io, signal)
      wrapped.requireBegun(end)
      return end
    }
    const stop = new AbortController()
    this.#stops.add(stop)
    try {
      const shell = await this.#shellOf(guest)
      const onReachable = (isReachable: boolean): void => {
        task.setReachable(isReachable)
      }
      const stopping = AbortSignal.any([signal, stop.signal])
      const run = (port?: Duplex): Promise<ProgramEnd> =>
        new ShellProgram(shell, program, io, onReachable, port).run(stopping)
      const { bulkPort } = guest
      if (program.isBulk !== true || bulkPort === undefined || !shell.hasPort) return await run()
      try {
        return await bulkPort.use(run)
      } catch (error) {
        if (!(error instanceof PortTakenError)) throw error
        return await run()
      }
    } finally {
      this.#stops.delete(stop)
    }
  }

  async #shellOf(guest: GuestAgent): Promise<GuestShell> {
    // Nothing is sent to an agent that does not answer.
    await untilAnswered(() => guest.turn((agent) => agent.requireAnswer()))
    const known = this.#shells.get(guest.vm)
    const shell = await known?.catch(() => undefined)
    if (shell !== undefined && (await shell.isUsable())) return shell
    const current = this.#shells.get(guest.vm)
    if (current !== undefined && current !== known) return await current
    const starting = untilAnswered(() =>
      GuestShell.start(guest, this.#owners, () => {
        if (this.#shells.get(guest.vm) === starting) this.#shells.delete(guest.vm)
      }),
    )
    this.#shells.set(guest.vm, starting)
    return await starting
  }
}

const otherWay = 'Reach the guest by SSH, or do without.'
