import { closeSync, fstatSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { openOwnFile } from '../../../registry/own-file.js'
import { runFiles } from '../run-files.js'

/** An event has some 150 bytes, and many of them change nothing. */
const tailBytes = 4096

/** The events after which a guest does something else. */
const changes = /"event": "(?:STOP|RESUME|SHUTDOWN|GUEST_PANICKED|SUSPEND|WAKEUP|WATCHDOG)"/

/**
 * The last that the log of events says of a change in what a guest does; nothing where that is not among the last that was
 * said. It costs a hundredth of asking QEMU.
 */
export function lastChange(folder: string): string | undefined {
  return readEnd(join(folder, runFiles.eventLog))
    .split('\n')
    .findLast((line) => changes.test(line))
}

/** Whether it is that the guest runs, as it has done since. */
export const isResumed = (change: string | undefined): boolean => change?.includes('"RESUME"') === true

function readEnd(path: string): string {
  try {
    const file = openOwnFile(path)
    try {
      const buffer = Buffer.alloc(tailBytes)
      const length = readSync(file, buffer, 0, tailBytes, Math.max(0, fstatSync(file).size - tailBytes))
      return buffer.toString('latin1', 0, length)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ''
    throw error
  }
}
