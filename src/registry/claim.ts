import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { ProtocolError, ResourceBusyError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import { vmStates, type VmState } from '../model/vm-state.js'
import { isAlive, ownIdentity, type ProcessIdentity } from './process-identity.js'

export interface ClaimRecord extends ProcessIdentity {
  /** What is told of the VM meanwhile. */
  readonly state: VmState
  /** What it was before. */
  readonly before: VmState
}

/** What whoever comes too late is told. */
export const heldBy = (pid: number): ResourceBusyError =>
  new ResourceBusyError({
    pid,
    reason: pid === process.pid ? 'another connection of this process has it' : `the process ${String(pid)} has it`,
    hint: 'Stop it there, or wait until that process lets go of it.',
  })

/**
 * The claim of one process on a folder, safe against death at any moment. It is the name of an empty file: `claim` while
 * nobody has it, and else also who has it, and what is told meanwhile. Taking it is a rename(2), which fails for all but the
 * first; whoever finds that its process is gone may rename it, too. No file is made, since that costs a file system much more.
 */
export class Claim {
  #folder: string
  /** Told apart from any other claim, of this process too. */
  readonly owner: string
  /** Whoever had it before, and died without letting go of it. */
  readonly inherited: ClaimRecord | undefined
  /** What was in the folder when it was taken. */
  readonly found: readonly string[]
  readonly #before: VmState
  #file: string
  #isReleased = false

  private constructor(
    folder: string,
    owner: string,
    states: Pick<ClaimRecord, 'state' | 'before'>,
    details: { readonly inherited: ClaimRecord | undefined; readonly found: readonly string[] },
  ) {
    this.#folder = folder
    this.owner = owner
    this.#before = states.before
    this.#file = fileOf(owner, states)
    this.inherited = details.inherited
    this.found = details.found
  }

  /** The claim, or the record of the process that has it. */
  static take(folder: string, state: VmState, before: VmState = state): Claim | ClaimRecord {
    const owner = nextOwner()
    const file = fileOf(owner, { state, before })
    for (;;) {
      const found = readdirSync(folder)
      const claims = claimsIn(folder, found)
      const holder = claims.find(({ record }) => isAlive(record))
      if (holder !== undefined) return holder.record
      const [left] = claims
      if (left === undefined && !found.includes(freeFile)) makeFree(folder)
      else if (tryToRename(folder, left?.file ?? freeFile, file)) {
        // Where it was missing, and several have made it, there may be two: both give way to each other, and one is left.
        const others = claimsIn(folder, readdirSync(folder)).filter((other) => other.file !== file)
        if (!others.some(({ record }) => isAlive(record))) {
          return new Claim(folder, owner, { state, before }, { inherited: left?.record, found })
        }
        renameSync(join(folder, file), join(folder, freeFile))
      }
    }
  }

  /** Who has the folder at present. */
  static holder(folder: string): ClaimRecord | undefined {
    return claimsIn(folder, readdirSync(folder)).find(({ record }) => isAlive(record))?.record
  }

  /** Whether somebody died who had the folder. */
  static isAbandoned(folder: string): boolean {
    const claims = claimsIn(folder, readdirSync(folder))
    return claims.length > 0 && !claims.some(({ record }) => isAlive(record))
  }

  /** The folder has another path now, and the claim with it. */
  follow(folder: string): void {
    this.#folder = folder
  }

  /** What everybody else is told meanwhile. */
  setState(state: VmState): void {
    const file = fileOf(this.owner, { state, before: this.#before })
    if (file === this.#file) return
    renameSync(join(this.#folder, this.#file), join(this.#folder, file))
    this.#file = file
  }

  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    renameSync(join(this.#folder, this.#file), join(this.#folder, freeFile))
  }
}

const freeFile = 'claim'
const heldPrefix = 'claim,'

/** How many claims this process has tried to take. */
let lastSerial = 0

function nextOwner(): string {
  const { pid, began, boot, host } = ownIdentity()
  return [pid, (lastSerial += 1), began, boot, host].join(',')
}

/** The longest has some 250 characters, of the 255 that file systems allow. */
const fileOf = (owner: string, { state, before }: Pick<ClaimRecord, 'state' | 'before'>): string =>
  `${heldPrefix}${state},${before},${owner}`

const stateSchema = v.picklist(vmStates)
const pattern = /^claim,(\w+),(\w+),(([1-9]\d{0,9}),\d+,(\d*),([\da-f-]*),([^,]*))$/

/** Whose claim a file is, and what it says; nothing for any other file. */
export function parseClaim(file: string): { readonly owner: string; readonly record: ClaimRecord } | undefined {
  const [, state, before, owner = '', pid, began = '', boot = '', host = ''] = pattern.exec(file) ?? []
  if (!v.is(stateSchema, state) || !v.is(stateSchema, before)) return undefined
  return { owner, record: { host, pid: Number(pid), boot, began, state, before } }
}

/** Whether a file looks like a claim that somebody has, and says nothing. */
export const isDamagedClaim = (file: string): boolean => file.startsWith(heldPrefix) && parseClaim(file) === undefined

function claimsIn(folder: string, files: readonly string[]): { readonly file: string; readonly record: ClaimRecord }[] {
  const damaged = files.find(isDamagedClaim)
  if (damaged !== undefined) {
    const message = 'its name says nothing of whoever has the VM'
    throw new ProtocolError({
      reason: `the file ${join(folder, damaged)} is damaged: ${message}`,
      hint: 'Remove it if no process uses the VM.',
      native: { driver: 'registry', message },
    })
  }
  return files.flatMap((file) => {
    const claim = parseClaim(file)
    return claim === undefined ? [] : [{ file, record: claim.record }]
  })
}

function makeFree(folder: string): void {
  try {
    writeFileSync(join(folder, freeFile), '', { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/** False where somebody was faster. */
function tryToRename(folder: string, from: string, to: string): boolean {
  try {
    renameSync(join(folder, from), join(folder, to))
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}
