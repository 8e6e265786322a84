import { closeSync, fstatSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { openOwnFile } from '../../../registry/own-file.js'
import { runFiles } from '../run-files.js'

/** An event has some 150 bytes, and many events change nothing. */
const tailBytes = 4096

/** The events that change the state of a guest. */
const changes = /"event": "(?:STOP|RESUME|SHUTDOWN|GUEST_PANICKED|SUSPEND|WAKEUP|WATCHDOG)"/

/**
 * The last event in the log that changed the guest's state; `undefined` if there is none among the last events. Reading it costs a
 * hundredth of asking QEMU.
 */
export function lastChange(folder: string): string | undefined {
  return readEnd(join(folder, runFiles.eventLog))
    .split('\n')
    .findLast((line) => changes.test(line))
}

/** True if the last change was that the guest runs. */
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
