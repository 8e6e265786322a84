import { spawn } from 'node:child_process'
import { programOf } from '../../../../ssh/host-program.js'
import { separate, type Dialer } from './dialer.js'
import { ProgramSocket } from './program-socket.js'

/** Talks to the standard input and output of a program of this machine. */
export function extDialer(command: string): Dialer {
  return separate((signal) => {
    signal.throwIfAborted()
    const child = spawn(command, [], { stdio: 'pipe' })
    return Promise.resolve(new ProgramSocket(programOf(child, { interrupt: 'SIGTERM', kill: 'SIGKILL' }), command))
  })
}
