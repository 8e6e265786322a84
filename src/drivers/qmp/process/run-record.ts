import { rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../../../errors/native.js'
import { problemWith, remedyFor } from '../../../registry/file-problem.js'
import { readOwnFile } from '../../../registry/own-file.js'
import { processIdentitySchema } from '../../../registry/process-identity.js'
import { draftOf, type Draft } from '../../../registry/replace-file.js'
import { parseJson } from '../../../registry/written-json.js'
import { accelerators } from './accelerator.js'
import { runFiles } from '../run-files.js'
import { readLogTail } from '../logs/run-log-reader.js'

const format = 1

const runSchema = v.strictObject({
  format: v.literal(format),
  /** The QEMU that runs the VM. */
  process: processIdentitySchema,
  /** By `hostClockMs`. */
  startedAt: v.number(),
  accelerator: v.picklist(accelerators),
  /** The memory that QEMU was started with, in MiB; the VM may have been edited since. */
  startedMiB: v.number(),
  /** The program and its arguments. */
  commandLine: v.tupleWithRest([v.string()], v.string()),
  /** The programs that serve this QEMU; absent if there are none. */
  companions: v.optional(v.array(v.strictObject({ name: v.string(), process: processIdentitySchema }))),
})

/** The record of a VM's QEMU: saved before the guest runs, and kept until a process has noticed QEMU's end. */
export type RunRecord = Readonly<Omit<v.InferOutput<typeof runSchema>, 'format'>>

/** How a QEMU is started. */
export type RunPlan = Pick<RunRecord, 'accelerator' | 'startedMiB' | 'commandLine'>

export const recordFile = 'run.json'
/** The longest record has the arguments of 16 disks with 64 bases each. */
const maxRecordBytes = 2 ** 20

export function readRun(folder: string): RunRecord | undefined {
  const path = join(folder, recordFile)
  try {
    return parseJson(runSchema, readOwnFile(path, maxRecordBytes))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw problemWith(path, error, { driver: 'qmp', hint: `${remedyFor(error)}, or remove it if no QEMU runs the VM.` })
  }
}

export const draftRun = (folder: string, run: RunRecord): Draft =>
  draftOf(join(folder, recordFile), JSON.stringify({ format, ...run }))

export const removeRun = (folder: string): void => {
  rmSync(join(folder, recordFile), { force: true })
}

/** How a QEMU has ended: its guest shut down, it was told to quit, or it crashed or was killed. */
export type RunEnd = 'guest' | 'request' | 'crash'

/** Enough to find the last event, of some 150 bytes each, behind which only few others come. */
const tailBytes = 64 * 1024

/** How QEMU is ending or has ended, by its event log; `undefined` while the log does not announce an end. */
export async function announcedEnd(folder: string): Promise<RunEnd | undefined> {
  const lines = (await readLogTail(folder, runFiles.eventLog, tailBytes)).split('\n')
  const last = lines.findLast((line) => line.includes('"event": "SHUTDOWN"'))
  if (last === undefined) return undefined
  if (last.includes('"guest-panic"')) return 'crash'
  return last.includes('"guest": true') ? 'guest' : 'request'
}

/** Removes the event log. A guest may have shut down just when its QEMU was ended: then a restart must not see that. */
export const forgetEnd = (folder: string): void => {
  rmSync(join(folder, runFiles.eventLog), { force: true })
}

/** How a QEMU that is gone has ended: without an announcement, it crashed or was killed. */
export const endOfRun = async (folder: string): Promise<RunEnd> => (await announcedEnd(folder)) ?? 'crash'

/** The cause of a crash, as far as the logs tell it. */
export async function causeOfCrash(folder: string): Promise<string> {
  if ((await announcedEnd(folder)) === 'crash') return 'the kernel of the guest panicked'
  const words = await lastWords(folder)
  return words === '' ? 'QEMU ended without any output' : words
}

/** QEMU's last output. */
export async function lastWords(folder: string): Promise<string> {
  return (await readLogTail(folder, runFiles.log, tailBytes)).trim()
}
