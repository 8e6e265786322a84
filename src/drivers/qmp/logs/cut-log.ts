import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { openOwnFile } from '../../../registry/own-file.js'
import { draftIn } from '../../../registry/replace-file.js'
import { keptName, keptParts, type RunLog } from './kept-part.js'

/** How much of a log is kept, some 10,000 lines, and by how much it may grow before it is cut again. */
export const keptBytes = 2 ** 20

/**
 * Cuts a log that has grown too long, while QEMU appends to it: copies its last part, truncates it, and extends it to its former
 * length as a hole. Any number of processes may do so at once. What QEMU appends between the copy and the truncation is lost, so
 * that this is synchronous.
 */
export function cutLog(folder: string, log: RunLog): void {
  try {
    const file = openOwnFile(join(folder, log), { flags: constants.O_RDWR })
    try {
      cutIfLong(folder, log, file)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    // There is no log, or another process has removed the copy as a leftover: then the log is cut next time.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  }
}

function cutIfLong(folder: string, log: RunLog, file: number): void {
  const { size, ino } = fstatSync(file)
  // A log that is not longer was never cut.
  if (size <= keptBytes) return
  const [last] = keptParts(readdirSync(folder), log, ino)
  // A process crashed in the middle of a cut.
  if (last !== undefined && size < last.end) ftruncateSync(file, last.end)
  if (size - (last?.end ?? 0) > keptBytes) cut(folder, log, file, ino)
}

function cut(folder: string, log: RunLog, file: number, inode: number): void {
  const draft = draftIn(folder)
  const copy = openSync(draft, 'wx', 0o600)
  try {
    const end = copyTail(file, copy)
    renameSync(draft, join(folder, keptName(log, inode, end)))
    ftruncateSync(file, 0)
    ftruncateSync(file, end)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  } finally {
    closeSync(copy)
  }
  for (const { file: older } of keptParts(readdirSync(folder), log, inode).slice(1)) {
    rmSync(join(folder, older), { force: true })
  }
}

/** Copies the last part of a log, up to its present end, and returns that position. If the disk is full, the copy is empty. */
function copyTail(file: number, copy: number): number {
  const buffer = Buffer.alloc(keptBytes)
  let position = fstatSync(file).size - keptBytes
  try {
    for (;;) {
      const bytes = readSync(file, buffer, 0, buffer.byteLength, position)
      if (bytes === 0) break
      writeSync(copy, buffer, 0, bytes)
      position += bytes
    }
    return position
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') throw error
    ftruncateSync(copy, 0)
    return fstatSync(file).size
  }
}
