import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { errorCode } from '../errors/native.js'

const run = promisify(execFile)
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/*
 * A sign of life is a FIFO that a process holds open for reading. The kernel closes it when the process ends, by whatever cause.
 * Any other process of the same kernel can tell, also where it sees no pid of the first: opening for writing fails with ENXIO
 * while nobody reads.
 */

/** Makes a sign that nobody holds yet; false where the system or the file system has none. */
export async function makeSign(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    await run('mkfifo', ['-m', '600', path])
    return true
  } catch {
    // No mkfifo, or a file system without FIFOs: those who can't see the process by its pid count it as alive.
    return false
  }
}

/** A descriptor: the sign is held as long as a process has it. */
export const holdSign = (path: string): number => openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)

/** Whether a process holds the sign. It is only removed once nobody does. */
export function isHeld(path: string): boolean {
  try {
    closeSync(openSync(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW))
    return true
  } catch (error) {
    if (errorCode(error) === 'ENXIO' || errorCode(error) === 'ENOENT') return false
    throw error
  }
}
