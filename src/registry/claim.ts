import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { ProtocolError, ResourceBusyError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { vmStates, type VmState } from '../model/vm-state.js'
import { isAlive, ownIdentity, processIdentitySchema } from './process-identity.js'
import { draftIn, replaceFile } from './replace-file.js'

const recordSchema = v.object({
  ...processIdentitySchema.entries,
  isReleased: v.boolean(),
  state: v.picklist(vmStates),
})

type ClaimRecord = Readonly<v.InferOutput<typeof recordSchema>>

/** What whoever comes too late is told. */
export const heldBy = (pid: number): ResourceBusyError =>
  new ResourceBusyError({
    pid,
    reason: pid === process.pid ? 'another connection of this process has it' : `the process ${String(pid)} has it`,
    hint: 'Stop it there, or wait until that process lets go of it.',
  })

const fileOf = (folder: string, generation: number): string => join(folder, `claim.${String(generation)}`)

/**
 * The claim of one process on a folder, safe against death at any moment. Each claim is a file of the next generation,
 * made by link(2), which fails if somebody was faster; the highest generation counts, and is never removed, only
 * succeeded. Whoever finds that its process is gone may succeed it.
 */
export class Claim {
  readonly #folder: string
  readonly #generation: number
  /** Whether whoever had it before died without letting go of it. */
  readonly isInherited: boolean
  #isReleased = false

  private constructor(folder: string, generation: number, isInherited: boolean) {
    this.#folder = folder
    this.#generation = generation
    this.isInherited = isInherited
  }

  /** The claim, or the record of the process that has it. */
  static async take(folder: string, state: VmState): Promise<Claim | ClaimRecord> {
    for (;;) {
      const generations = await listGenerations(folder)
      const last = generations.at(-1)
      const holder = last === undefined ? undefined : await readClaim(folder, last)
      if (holder !== undefined && isHeld(holder)) return holder
      const generation = (last ?? 0) + 1
      if (!(await write(folder, generation, state))) continue
      // Somebody may have come, gone and been succeeded between the listing and the link: the highest counts.
      const after = await listGenerations(folder)
      if (after.at(-1) !== generation) {
        await rm(fileOf(folder, generation), { force: true })
        continue
      }
      for (const old of after.slice(0, -1)) await rm(fileOf(folder, old), { force: true })
      return new Claim(folder, generation, holder !== undefined && !holder.isReleased)
    }
  }

  /** Who has the folder at present. */
  static async holder(folder: string): Promise<ClaimRecord | undefined> {
    const last = (await listGenerations(folder)).at(-1)
    const record = last === undefined ? undefined : await readClaim(folder, last)
    return record !== undefined && isHeld(record) ? record : undefined
  }

  /** Whether somebody died who had the folder. */
  static async isAbandoned(folder: string): Promise<boolean> {
    const last = (await listGenerations(folder)).at(-1)
    const record = last === undefined ? undefined : await readClaim(folder, last)
    return record !== undefined && !record.isReleased && !isHeld(record)
  }

  async setState(state: VmState): Promise<void> {
    await this.#replace({ ...ownIdentity(), isReleased: false, state })
  }

  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await this.#replace({ ...ownIdentity(), isReleased: true, state: 'stopped' })
  }

  async #replace(record: ClaimRecord): Promise<void> {
    await replaceFile(fileOf(this.#folder, this.#generation), JSON.stringify(record), false)
  }
}

const isHeld = (record: ClaimRecord): boolean => !record.isReleased && isAlive(record)

async function listGenerations(folder: string): Promise<number[]> {
  const names = await readdir(folder)
  return names
    .map((name) => /^claim\.(\d{1,15})$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

/** Nothing where it has been succeeded and removed meanwhile. */
async function readClaim(folder: string, generation: number): Promise<ClaimRecord | undefined> {
  const path = fileOf(folder, generation)
  try {
    return v.parse(recordSchema, JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw new ProtocolError({
      reason: `the file ${path} is damaged`,
      hint: 'Remove it if no process uses the VM.',
      native: nativeErrorOf('registry', error),
      cause: error,
    })
  }
}

async function write(folder: string, generation: number, state: VmState): Promise<boolean> {
  const draft = draftIn(folder)
  try {
    await writeFile(draft, JSON.stringify({ ...ownIdentity(), isReleased: false, state }), { flag: 'wx', mode: 0o600 })
    await link(draft, fileOf(folder, generation))
    return true
  } catch (error) {
    // The holder may have taken the draft for a leftover.
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOENT') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}
