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
  /** The state that other processes are shown while the VM is claimed. */
  readonly state: VmState
  /** The state before the claim. */
  readonly before: VmState
}

/** A claim that a process holds, and its file. */
export interface Holder extends ClaimRecord {
  readonly file: string
}

/** Error for a VM or a directory that is already claimed. */
export function heldBy(holder: Holder, what = 'it'): ResourceBusyError {
  const { pid, kernel, file } = holder
  if (isOfThisNamespace(holder)) {
    const who = pid === process.pid ? 'another connection of this process' : `the process ${String(pid)}`
    const hint = 'Stop it there, or wait until that process releases it.'
    return new ResourceBusyError({ pid, reason: `${who} has ${what}`, hint })
  }
  const isOtherKernel = kernel !== ownKernel()
  const who = isOtherKernel
    ? 'a process of another machine, or of this one before it was restarted,'
    : 'a process of another container'
  return new ResourceBusyError({
    reason: `${who} has ${what}`,
    hint: `Stop it there, or wait until that process releases it. If the process is gone for good, remove ${file}.`,
  })
}

/**
 * The claim of one process on a folder. It stays consistent if the process dies at any moment. The claim is the name of an empty
 * file: `claim` if it is free, else followed by the owner and the states to show. It is taken by rename(2), which succeeds for
 * one process only. A claim whose process is gone can be renamed by any other process. Renaming is much cheaper than creating a
 * file.
 */
export class Claim {
  #folder: string
  /** Unique among all claims, also those of this process. */
  readonly owner: string
  /** The claim of a process that died before it released it. */
  readonly inherited: ClaimRecord | undefined
  /** The files that were in the folder when the claim was taken. */
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

  /** Takes the claim; returns the holder if another process has it. */
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
        // If several processes created a missing claim, there may be two: both back off until one is left.
        const others = claimsIn(folder, readdirSync(folder)).filter((other) => other.file !== join(folder, file))
        if (!others.some((claim) => isHeld(member, claim))) {
          const isLeftByItself = left !== undefined && unreleased.delete(left.file)
          return new Claim(folder, owner, { state, before }, { inherited: isLeftByItself ? undefined : left, found })
        }
        renameSync(join(folder, file), join(folder, freeFile))
      }
    }
  }

  /** The current holder of the claim on a folder. */
  static holder(member: Membership, folder: string): Holder | undefined {
    return claimsIn(folder, readdirSync(folder)).find((claim) => isHeld(member, claim))
  }

  /** True if the process that claimed the folder has died. */
  static isAbandoned(member: Membership, folder: string): boolean {
    const claims = claimsIn(folder, readdirSync(folder))
    return claims.length > 0 && !claims.some((claim) => isHeld(member, claim))
  }

  /** Call after the folder was renamed: the claim is released at its new path. */
  follow(folder: string): void {
    this.#folder = folder
  }

  /** Sets the state that other processes are shown. */
  setState(state: VmState): void {
    const file = fileOf(this.owner, { state, before: this.#before })
    if (file === this.#file) return
    renameSync(join(this.#folder, this.#file), join(this.#folder, file))
    this.#file = file
  }

  /** Releases the claim. If the folder can't be written to, the release is retried until it can. */
  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    const file = join(this.#folder, this.#file)
    try {
      tryToRename(file, join(this.#folder, freeFile))
    } catch (error) {
      unreleased.add(file)
      process.emitWarning(`The claim ${file} can't be released yet: ${String(error)}`, 'AwaitvmWarning')
      releaser ??= setInterval(releaseAll, releaseEveryMs).unref()
    }
  }
}

/** Claims that this process has given up and could not release yet. They count as free, and this process may take them again. */
const unreleased = new Set<string>()
const releaseEveryMs = 200
let releaser: NodeJS.Timeout | undefined

const isHeld = (member: Membership, claim: Holder): boolean => !unreleased.has(claim.file) && member.isAlive(claim)

function releaseAll(): void {
  for (const file of unreleased) {
    inBackground(`Releasing ${file}`, () => {
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

/** Counts the claims that this process has tried to take. */
let lastSerial = 0

/** At most about 230 characters; file systems allow 255. */
const fileOf = (owner: string, { state, before }: Pick<ClaimRecord, 'state' | 'before'>): string =>
  `${heldPrefix}${state},${before},${owner}`

const stateSchema = v.picklist(vmStates)
const pattern = /^claim,(\w+),(\w+),(\d+,(.+))$/

/** The owner and the states in the name of a claim; `undefined` for any other file. */
export function parseClaim(file: string): { readonly owner: string; readonly record: ClaimRecord } | undefined {
  const [, state, before, owner = '', process = ''] = pattern.exec(file) ?? []
  const identity = parseIdentity(process)
  if (!v.is(stateSchema, state) || !v.is(stateSchema, before) || identity === undefined) return undefined
  return { owner, record: { ...identity, state, before } }
}

/** Whether a file is a claim, including a free or a damaged one. */
export const isClaimFile = (file: string): boolean => file === freeFile || file.startsWith(heldPrefix)

/** Whether a file has the name of a held claim that can't be parsed. */
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

/** Returns false if another process was faster. */
function tryToRename(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}
