import { goneWithGuest, programEndUnknown } from '../../errors/program-end.js'
import { requireVariableNames } from '../../guest/refusals.js'
import type { Actions } from './action.js'
import type { HostClock } from './clock.js'
import { inGuest } from './guest-work.js'
import { reachGuest } from './guest-reach.js'
import { RunningProgram } from './running-program.js'

/** Runs a program of a test, and keeps it for others who attach to it. */
export const guestExec: Actions<'guest.exec'>['guest.exec'] = async (host, run, { vm: id, command, options, io }) => {
  requireVariableNames(options.env ?? {})
  const argv = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
  const program = new RunningProgram(
    { argv, options, sleep: (ms, signal) => sleep(host.clock, ms, signal), now: () => host.clock.now },
    io,
  )
  run.program = program
  const { vm, machine } = await run.look(() => reachGuest(host, id, 'guest.exec'), host.store.get(id))
  return await inGuest(
    run,
    machine,
    (signal) => {
      signal.addEventListener('abort', () => {
        program.stop()
      })
      return program.run(vm.handlers?.exec ?? host.execHandler, vm.name)
    },
    () => programEndUnknown(goneWithGuest(vm.state)),
  )
}

function sleep(clock: HostClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      forget()
      reject(new DOMException('The program was stopped', 'AbortError'))
    }
    const forget = clock.after(ms, () => {
      signal.removeEventListener('abort', stop)
      resolve()
    })
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
