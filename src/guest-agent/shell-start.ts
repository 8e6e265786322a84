import { randomBytes } from 'node:crypto'
import { HostError, NotSupportedError } from '../errors.js'
import type { GuestAgent } from './agent.js'
import { guestWords } from './agent-errors.js'
import { runScript } from './agent-program.js'
import { startScript } from './shell-script.js'
import { workerPipes } from './shell-workers.js'

/** A shell that was started in a guest. */
export interface StartedShell {
  readonly folder: string
  /** Whether the guest has the port for much data. */
  readonly hasPort: boolean
  /** Ends an output whose program has ended. No program knows it. */
  readonly mark: string
}

/** The pipes of so many programs are made at a time. */
export const batch = 16

/** The names of the pipes for the outputs of a batch of programs. */
export const pipesOf = (first: number): string[] =>
  Array.from({ length: batch }, (_, index) => [`${String(first + index)}.o`, `${String(first + index)}.e`]).flat()

/**
 * @param name that of its folder
 * @param owner see {@link ShellOwners}
 */
export async function startShell(guest: GuestAgent, name: string, owner: string): Promise<StartedShell> {
  const mark = randomBytes(16).toString('hex')
  const { exitCode, stdout, stderr } = await guest.turn((agent) =>
    runScript(agent, startScript, name, mark, owner, ...pipesOf(1), ...workerPipes),
  )
  const [folder = '', port = ''] = stdout.split('\n')
  if (exitCode === 3) throw noLinux()
  if (exitCode !== 0 || !['/run', '/tmp'].some((parent) => folder === `${parent}/${name}`))
    throw notStarted(guest, guestWords(stderr))
  return { folder, hasPort: port !== '', mark }
}

const noLinux = (): NotSupportedError =>
  new NotSupportedError({
    capability: 'guest.exec',
    reason: 'the guest has no /proc as Linux has it, which awaitvm follows programs by',
  })

const notStarted = ({ driver }: GuestAgent, message: string): HostError =>
  new HostError({
    reason: `the guest can't make a folder in /run or /tmp, which awaitvm needs to run programs: ${message}`,
    native: { driver, message },
  })
