import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { inBackground } from '../background.js'
import { ProtocolError, ResourceBusyError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import { vmStates, type VmState } from '../model/vm-state.js'
import type { Membership } from './membership.js'
import {
  formatIdentity,
  isOfThisNamespace,
  ownKernel,
  parseIdentity,
  type ProcessIdentity,
} from './process-identity.js'

export interface ClaimRecord extends ProcessIdentity {
  /** What others are told of the VM while it is claimed. */
  readonly state: VmState
  /** What it was before. */
  readonly before: VmState
}

/** A claim that somebody has, and the file that says so. */
export interface Holder extends ClaimRecord {
  readonly file: string
}

/** Error for a VM or a directory that is already claimed. */
export function heldBy(holder: Holder, what = 'it'): ResourceBusyError {
  const { pid, kernel, file } = holder
  if (isOfThisNamespace(holder)) {
    const who = pid === process.pid ? 'another connection of this process' : `the process ${String(pid)}`
    const hint = 'Stop it there, or wait until that process lets go of it.'
    return new ResourceBusyError({ pid, reason: `${who} has ${what}`, hint })
  }
  const isOtherKernel = kernel !== ownKernel()
  const who = isOtherKernel
    ? 'a process of another machine, or of this one before it was restarted,'
    : 'a process of another container'
  return new ResourceBusyError({
    reason: `${who} has ${what}`,
    hint: `Stop it there, or wait until that process lets go of it. If it is gone for good, remove ${file}.`,
  })
}

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
  static take(member: Membership, folder: string, state: VmState, before: VmState = state): Claim | Holder {
    const owner = `${String((lastSerial += 1))},${formatIdentity(member.identity)}`
    const file = fileOf(owner, { state, before })
    for (;;) {
      const found = readdirSync(folder)
      const claims = claimsIn(folder, found)
      const holder = claims.find((claim) => isHeld(member, claim))
      if (holder !== undefined) return holder
      const [left] = claims
      if (left === undefined && !found.includes(freeFile)) makeFree(folder)
      else if (tryToRename(left?.file ?? join(folder, freeFile), join(folder, file))) {
        // Where it was missing, and several have made it, there may be two: both give way to each other, and one is left.
        const others = claimsIn(folder, readdirSync(folder)).filter((other) => other.file !== join(folder, file))
        if (!others.some((claim) => isHeld(member, claim))) {
          const isLeftByItself = left !== undefined && unreleased.delete(left.file)
          return new Claim(folder, owner, { state, before }, { inherited: isLeftByItself ? undefined : left, found })
        }
        renameSync(join(folder, file), join(folder, freeFile))
      }
    }
  }

  /** Who has the folder at present. */
  static holder(member: Membership, folder: string): Holder | undefined {
    return claimsIn(folder, readdirSync(folder)).find((claim) => isHeld(member, claim))
  }

  /** Whether somebody died who had the folder. */
  static isAbandoned(member: Membership, folder: string): boolean {
    const claims = claimsIn(folder, readdirSync(folder))
    return claims.length > 0 && !claims.some((claim) => isHeld(member, claim))
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

  /** Lets go of it: where the folder can't be written to, as soon as it can be; nothing is left of one that was removed. */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    const file = join(this.#folder, this.#file)
    try {
      tryToRename(file, join(this.#folder, freeFile))
    } catch (error) {
      unreleased.add(file)
      process.emitWarning(`The claim ${file} can't be let go of yet: ${String(error)}`, 'AwaitvmWarning')
      releaser ??= setInterval(releaseAll, releaseEveryMs).unref()
    }
  }
}

/** The claims of this process that it could not let go of yet: nobody has them, and it may take them again. */
const unreleased = new Set<string>()
const releaseEveryMs = 200
let releaser: NodeJS.Timeout | undefined

const isHeld = (member: Membership, claim: Holder): boolean => !unreleased.has(claim.file) && member.isAlive(claim)

function releaseAll(): void {
  for (const file of unreleased) {
    inBackground(`Letting go of ${file}`, () => {
      tryToRename(file, join(dirname(file), freeFile))
      unreleased.delete(file)
    })
  }
  if (unreleased.size > 0) return
  clearInterval(releaser)
  releaser = undefined
}

const freeFile = 'claim'
const heldPrefix = 'claim,'

/** How many claims this process has tried to take. */
let lastSerial = 0

/** The longest has some 230 characters, of the 255 that file systems allow. */
const fileOf = (owner: string, { state, before }: Pick<ClaimRecord, 'state' | 'before'>): string =>
  `${heldPrefix}${state},${before},${owner}`

const stateSchema = v.picklist(vmStates)
const pattern = /^claim,(\w+),(\w+),(\d+,(.+))$/

/** Whose claim a file is, and what it says; nothing for any other file. */
export function parseClaim(file: string): { readonly owner: string; readonly record: ClaimRecord } | undefined {
  const [, state, before, owner = '', process = ''] = pattern.exec(file) ?? []
  const identity = parseIdentity(process)
  if (!v.is(stateSchema, state) || !v.is(stateSchema, before) || identity === undefined) return undefined
  return { owner, record: { ...identity, state, before } }
}

/** Whether a file is a claim, one that is free or damaged, too. */
export const isClaimFile = (file: string): boolean => file === freeFile || file.startsWith(heldPrefix)

/** Whether a file looks like a claim that somebody has, and says nothing. */
export const isDamagedClaim = (file: string): boolean => file.startsWith(heldPrefix) && parseClaim(file) === undefined

function claimsIn(folder: string, files: readonly string[]): Holder[] {
  const damaged = files.find(isDamagedClaim)
  if (damaged !== undefined) {
    const message = 'its name does not say which process has the VM'
    throw new ProtocolError({
      reason: `the file ${join(folder, damaged)} was made by a newer awaitvm, or is damaged: ${message}`,
      hint: 'Use a newer awaitvm, or remove the file if no process uses the VM.',
      native: { driver: 'registry', message },
    })
  }
  return files.flatMap((file) => {
    const claim = parseClaim(file)
    return claim === undefined ? [] : [{ ...claim.record, file: join(folder, file) }]
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
function tryToRename(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}
