import { runFiles } from '../run-files.js'

/** The logs of a QEMU. A guest can make each of them grow without end, so that they are cut: see `cutLog`. */
export const runLogs = [runFiles.console, runFiles.eventLog, runFiles.log] as const
export type RunLog = (typeof runLogs)[number]

/**
 * The file with the last part of a log before `end`, where it was cut. The log itself has a hole there, and keeps its length, so that
 * positions in it stay valid: a reader knows how many bytes it has lost, and gets none twice.
 */
export interface KeptPart {
  readonly file: string
  readonly log: RunLog
  /** The inode of the log, since a later run has a log of the same name. */
  readonly inode: number
  readonly end: number
}

const pattern = new RegExp(`^(${runLogs.join('|').replaceAll('.log', '')})-(\\d{1,20})-(\\d{1,15})\\.log$`)

/** The name has the position of the cut: of several concurrent cuts, the last one counts. */
export const keptName = (log: RunLog, inode: number, end: number): string =>
  `${log.slice(0, -'.log'.length)}-${String(inode)}-${String(end)}.log`

export function parseKeptName(file: string): KeptPart | undefined {
  const [, stem, inode, end] = pattern.exec(file) ?? []
  const log = runLogs.find((name) => name === `${stem ?? ''}.log`)
  return log === undefined ? undefined : { file, log, inode: Number(inode), end: Number(end) }
}

/** The kept parts of a log, the valid one first. */
export const keptParts = (files: readonly string[], log: RunLog, inode: number): KeptPart[] =>
  files
    .map(parseKeptName)
    .filter((part) => part?.log === log && part.inode === inode)
    .filter((part) => part !== undefined)
    .sort((a, b) => b.end - a.end)
