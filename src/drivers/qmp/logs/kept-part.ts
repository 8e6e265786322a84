import { runFiles } from '../run-files.js'

/** The logs that QEMU writes while it runs. Its guest may make each of them grow without end: they are cut, see `cutLog`. */
export const runLogs = [runFiles.console, runFiles.eventLog, runFiles.log] as const
export type RunLog = (typeof runLogs)[number]

/**
 * What is kept of a log that was cut: its bytes before `end`. In the log itself they are not there any more, though it is as
 * long as before, so that a reader keeps its place in it: it learns how many bytes it has lost, and none come twice.
 */
export interface KeptPart {
  readonly file: string
  readonly log: RunLog
  /** That of the log, since a log of the same name may be that of a later run. */
  readonly inode: number
  readonly end: number
}

const pattern = new RegExp(`^(${runLogs.join('|').replaceAll('.log', '')})-(\\d{1,20})-(\\d{1,15})\\.log$`)

/** Where several cut at the same time the last one counts, so that the name tells where that was. */
export const keptName = (log: RunLog, inode: number, end: number): string =>
  `${log.slice(0, -'.log'.length)}-${String(inode)}-${String(end)}.log`

export function parseKeptName(file: string): KeptPart | undefined {
  const [, stem, inode, end] = pattern.exec(file) ?? []
  const log = runLogs.find((name) => name === `${stem ?? ''}.log`)
  return log === undefined ? undefined : { file, log, inode: Number(inode), end: Number(end) }
}

/** What is kept of a log, that which counts first. */
export const keptParts = (files: readonly string[], log: RunLog, inode: number): KeptPart[] =>
  files
    .map(parseKeptName)
    .filter((part) => part?.log === log && part.inode === inode)
    .filter((part) => part !== undefined)
    .sort((a, b) => b.end - a.end)
