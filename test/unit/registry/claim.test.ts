import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Claim } from '../../../src/registry/claim.js'
import { Membership } from '../../../src/registry/membership.js'
import { Child } from '../../support/child-process.js'

let root: string
let folder: string
let member: Membership
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'awaitvm-claim-'))
  folder = join(root, 'vm')
  mkdirSync(folder)
  member = new Membership(root)
  await member.join()
})
afterEach(async () => {
  await member.leave()
  rmSync(root, { recursive: true })
})

function take(): Claim {
  const claim = Claim.take(member, folder, 'starting', 'stopped')
  if (!(claim instanceof Claim)) throw new Error(`the process ${String(claim.pid)} has it`)
  return claim
}

test('of several processes that begin at the same time, one at a time has a folder', async () => {
  await using first = new Child('claim-child.ts', [root, '500'])
  await using second = new Child('claim-child.ts', [root, '500'])
  await using third = new Child('claim-child.ts', [root, '500'])
  await Promise.all([first, second, third].map((child) => child.printed('done')))
  expect(readdirSync(folder)).toEqual(['claim'])
})

test('the claim of a process that was killed is left to the next one, with what it said', async () => {
  await using child = new Child('claim-child.ts', [root])
  await child.printed('done')
  expect(Claim.holder(member, folder)).toMatchObject({ pid: child.pid, state: 'starting', before: 'stopped' })
  expect(Claim.take(member, folder, 'starting')).toMatchObject({ pid: child.pid })
  expect(Claim.isAbandoned(member, folder)).toBe(false)
  await child.kill()

  expect(Claim.holder(member, folder)).toBeUndefined()
  expect(Claim.isAbandoned(member, folder)).toBe(true)
  const claim = take()
  expect(claim.inherited).toMatchObject({ pid: child.pid, state: 'starting', before: 'stopped' })
  claim.release()
  expect(Claim.isAbandoned(member, folder)).toBe(false)
  expect(take().inherited).toBeUndefined()
})

test('other processes see the last state that was set, and none after the release', () => {
  const claim = take()
  claim.setState('running')
  expect(Claim.holder(member, folder)).toMatchObject({ pid: process.pid, state: 'running', before: 'stopped' })
  expect(readdirSync(folder)).toHaveLength(1)
  claim.release()
  claim.release()
  expect(Claim.holder(member, folder)).toBeUndefined()
  expect(readdirSync(folder)).toEqual(['claim'])
})
