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

/** 1 MiB: some 10,000 lines. So much is kept, and so much may come until it is cut again. */
export const keptBytes = 2 ** 20

/**
 * Cuts a log that has grown beyond what is kept, while QEMU appends to it: a copy of its last part is made, then all of its
 * blocks are given back, and it gets its length again as a hole. May be done by any number of processes at once. What comes
 * between the last look and the cut is lost, so that nothing is waited for in between.
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
    // There is no log, or whoever works on the VM has taken the copy for a leftover: then the next time does it.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  }
}

function cutIfLong(folder: string, log: RunLog, file: number): void {
  const { size, ino } = fstatSync(file)
  // Until then, it can't have been cut.
  if (size <= keptBytes) return
  const [last] = keptParts(readdirSync(folder), log, ino)
  // Somebody died over it.
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

/** Copies the last part of a log, with what is appended meanwhile; answers where it ended. A full disk leaves it empty. */
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
