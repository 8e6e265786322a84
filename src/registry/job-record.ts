import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../errors/native.js'
import { writtenErrorSchema } from '../errors/written-error.js'
import { signalNames } from '../model/signal.js'
import { operations, type OperationCode } from '../operations.js'
import { damagedFile } from './file-problem.js'
import { readOwnFile } from './own-file.js'
import { processIdentitySchema } from './process-identity.js'
import { replaceSmallFile } from './replace-file.js'
import { isNewer, parseJson } from './written-json.js'

const text = v.pipe(v.string(), v.maxLength(4096))
const amount = v.optional(v.pipe(v.number(), v.minValue(0)))

const format = 1

const programSchema = v.object({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{24}$/)),
  hasInput: v.boolean(),
  name: text,
  cwd: text,
  user: text,
  /** Its process has not yet been told whether it was started. */
  isStarting: v.boolean(),
})

const endSchema = v.object({ exitCode: v.optional(v.number()), signal: v.optional(v.picklist(signalNames)) })

/** Not strict: a record is rewritten by its owner only, or by who follows a program. */
const recordSchema = v.object({
  format: v.literal(format),
  /** The process that runs the job. */
  owner: processIdentitySchema,
  operation: v.picklist(Object.keys(operations) as OperationCode[]),
  /** The VM that it works on; absent if it creates one. */
  vm: v.optional(v.object({ id: text, name: text })),
  progress: v.object({ percent: amount, phase: v.optional(text), done: amount, total: amount, unit: v.optional(text) }),
  isCancelable: v.boolean(),
  /** The number of requests to stop that were refused. */
  refusals: v.number(),
  /** A program that its guest keeps: it outlives the process that started it. */
  program: v.optional(programSchema),
  /** With `outcome`: when the job ended, by `hostClockMs`. */
  endedAt: v.optional(v.number()),
  outcome: v.optional(
    v.variant('kind', [
      /** `answer`: the state that it led to, or the id of what it created; `end`: how a program has ended. */
      v.object({ kind: v.literal('succeeded'), answer: v.optional(text), end: v.optional(endSchema) }),
      v.object({ kind: v.literal('failed'), error: writtenErrorSchema }),
    ]),
  ),
})

/** A job, as its process writes it down for others. */
export type JobRecord = Readonly<Omit<v.InferOutput<typeof recordSchema>, 'format'>>

/** What finds a program in its guest again. */
export type ProgramRecord = Readonly<v.InferOutput<typeof programSchema>>

/** How a program has ended. */
export type EndRecord = Readonly<v.InferOutput<typeof endSchema>>

const requestSchema = v.object({ reason: text })

export const isJobToken = (token: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(token)

/** The token of the job whose record the file is. */
export const tokenOfRecord = (file: string): string | undefined => {
  const token = file.endsWith('.json') ? file.slice(0, -'.json'.length) : undefined
  return token !== undefined && isJobToken(token) ? token : undefined
}

const recordFile = (folder: string, token: string): string => join(folder, `${token}.json`)
const requestFile = (folder: string, token: string): string => join(folder, `${token}.cancel`)

export const readJob = (folder: string, token: string): JobRecord | undefined =>
  read(recordFile(folder, token), recordSchema)

export const writeJob = (folder: string, token: string, record: JobRecord): void => {
  replaceSmallFile(recordFile(folder, token), JSON.stringify({ format, ...record }))
}

export const removeJob = (folder: string, token: string): void => {
  rmSync(recordFile(folder, token), { force: true })
}

/** Asks the job's process to stop it. */
export const requestStop = (folder: string, token: string, reason: string): void => {
  replaceSmallFile(requestFile(folder, token), JSON.stringify({ reason: reason.slice(0, maxReason) }))
}

/** Takes the pending request to stop, if there is one, and returns its reason. */
export function takeStopRequest(folder: string, token: string): string | undefined {
  const path = requestFile(folder, token)
  if (!existsSync(path)) return undefined
  try {
    return read(path, requestSchema)?.reason
  } finally {
    rmSync(path, { force: true })
  }
}

const maxReason = 1000
/** Larger than any record. */
const maxBytes = 256 * 1024

function read<S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> | undefined {
  try {
    return parseJson(schema, readOwnFile(path, maxBytes))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    const hint = isNewer(error) ? 'Use a newer awaitvm.' : 'Remove it: only who follows that job reads it.'
    throw damagedFile(path, error, { driver: 'registry', hint })
  }
}
