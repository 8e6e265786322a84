import { linkSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { ResourceBusyError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import { vmStates, type VmState } from '../model/vm-state.js'
import { isAlive, ownIdentity, processIdentitySchema } from './process-identity.js'
import { readRecord } from './record-file.js'
import { draftIn, replaceSmallFile } from './replace-file.js'
import { readSmallFile, writeSmallFile } from './small-file.js'

const recordSchema = v.object({
  ...processIdentitySchema.entries,
  /** What is told of the VM meanwhile. */
  state: v.picklist(vmStates),
  /** What it was before. */
  before: v.picklist(vmStates),
})

export type ClaimRecord = Readonly<v.InferOutput<typeof recordSchema>>

/** What whoever comes too late is told. */
export const heldBy = (pid: number): ResourceBusyError =>
  new ResourceBusyError({
    pid,
    reason: pid === process.pid ? 'another connection of this process has it' : `the process ${String(pid)} has it`,
    hint: 'Stop it there, or wait until that process lets go of it.',
  })

const nameOf = (generation: number): string => `claim.${String(generation)}`
const fileOf = (folder: string, generation: number): string => join(folder, nameOf(generation))
const releasedSuffix = '.released'

/**
 * The claim of one process on a folder, safe against death at any moment. Each claim is a file of the next generation,
 * made by link(2), which fails if somebody was faster; the highest generation counts, and is never removed, only
 * succeeded. Letting go of it gives the file another name. Whoever finds that its process is gone may succeed it.
 */
export class Claim {
  #folder: string
  readonly generation: number
  /** Whoever had it before, and died without letting go of it. */
  readonly inherited: ClaimRecord | undefined
  /** What was in the folder when it was taken. */
  readonly found: readonly string[]
  #record: ClaimRecord
  #isReleased = false

  private constructor(
    folder: string,
    generation: number,
    record: ClaimRecord,
    details: { readonly inherited: ClaimRecord | undefined; readonly found: readonly string[] },
  ) {
    this.#folder = folder
    this.generation = generation
    this.#record = record
    this.inherited = details.inherited
    this.found = details.found
  }

  /** The claim, or the record of the process that has it. */
  static take(folder: string, state: VmState, before: VmState = state): Claim | ClaimRecord {
    const record = { ...ownIdentity(), state, before }
    for (;;) {
      const last = newest(readdirSync(folder))
      const holder = readClaim(folder, last)
      if (holder !== undefined && isAlive(holder)) return holder
      const generation = (last?.generation ?? 0) + 1
      if (!write(folder, generation, record)) continue
      const found = readdirSync(folder)
      const others = found.flatMap((name) => parse(name) ?? []).filter(({ name }) => name !== nameOf(generation))
      // Somebody may have come, gone and been succeeded between the listing and the link: the highest counts.
      if (others.some((other) => other.generation >= generation)) {
        rmSync(fileOf(folder, generation), { force: true })
        continue
      }
      for (const { name } of others) rmSync(join(folder, name), { force: true })
      return new Claim(folder, generation, record, { inherited: holder, found })
    }
  }

  /** Who has the folder at present. */
  static holder(folder: string): ClaimRecord | undefined {
    const record = readClaim(folder, newest(readdirSync(folder)))
    return record !== undefined && isAlive(record) ? record : undefined
  }

  /** Whether somebody died who had the folder. */
  static isAbandoned(folder: string): boolean {
    const record = readClaim(folder, newest(readdirSync(folder)))
    return record !== undefined && !isAlive(record)
  }

  /** The folder has another path now, and the claim with it. */
  follow(folder: string): void {
    this.#folder = folder
  }

  /** What everybody else is told meanwhile. */
  setState(state: VmState): void {
    if (state === this.#record.state) return
    this.#record = { ...this.#record, state }
    replaceSmallFile(fileOf(this.#folder, this.generation), JSON.stringify(this.#record))
  }

  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    const path = fileOf(this.#folder, this.generation)
    renameSync(path, `${path}${releasedSuffix}`)
  }
}

interface ClaimFile {
  readonly name: string
  readonly generation: number
  readonly isReleased: boolean
}

function parse(name: string): ClaimFile | undefined {
  const [, digits, suffix] = /^claim\.(\d{1,15})(\.released)?$/.exec(name) ?? []
  return digits === undefined ? undefined : { name, generation: Number(digits), isReleased: suffix !== undefined }
}

/** The generation of the claim that a file is of. */
export const claimGeneration = (file: string): number | undefined => parse(file)?.generation

/** Of one generation, a claim that was let go of counts: the other one comes too late, and is about to notice that. */
const newest = (names: readonly string[]): ClaimFile | undefined =>
  names
    .flatMap((name) => parse(name) ?? [])
    .sort((a, b) => a.generation - b.generation || Number(a.isReleased) - Number(b.isReleased))
    .at(-1)

/** Nothing where nobody has it, or it has been let go of or succeeded meanwhile. */
function readClaim(folder: string, file: ClaimFile | undefined): ClaimRecord | undefined {
  if (file === undefined || file.isReleased) return undefined
  const hint = 'Remove it if no process uses the VM.'
  return readRecord(join(folder, file.name), recordSchema, { read: readSmallFile, hint })
}

function write(folder: string, generation: number, record: ClaimRecord): boolean {
  const draft = draftIn(folder)
  try {
    writeSmallFile(draft, JSON.stringify(record))
    linkSync(draft, fileOf(folder, generation))
    return true
  } catch (error) {
    // The holder may have taken the draft for a leftover.
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOENT') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}
