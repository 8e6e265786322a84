import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { promisify } from 'node:util'
import { errorCode } from '../errors/native.js'

const run = promisify(execFile)
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/*
 * A sign of life is a FIFO that a process holds open for reading. The kernel closes it when the process ends for any reason.
 * Every process on the same kernel can check it, also from another pid namespace: if there is no reader, opening the FIFO for
 * writing fails with ENXIO.
 */

/** Creates a sign that nobody holds yet; false if the system or the file system has no FIFOs. */
export async function makeSign(path: string): Promise<boolean> {
  if (process.platform !== 'linux') return false
  try {
    await run('mkfifo', ['-m', '600', path])
    return true
  } catch {
    // No mkfifo, or a file system without FIFOs: processes that can't see the pid count this process as alive.
    return false
  }
}

/** Opens the sign; it is held until the descriptor is closed. */
export const holdSign = (path: string): number => openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)

/** Whether a process holds the sign. A sign is removed only when nobody holds it. */
export function isHeld(path: string): boolean {
  try {
    closeSync(openSync(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW))
    return true
  } catch (error) {
    if (errorCode(error) === 'ENXIO' || errorCode(error) === 'ENOENT') return false
    throw error
  }
}
