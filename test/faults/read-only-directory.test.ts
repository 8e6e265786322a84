import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { Claim } from '../../src/registry/claim.js'
import { Membership } from '../../src/registry/membership.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'

let directory: string

beforeEach(async (context) => {
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-read-only-'))
  onTestFinished(() => rm(directory, { recursive: true, maxRetries: 3 }))
  skipWithout(context, missingFreeze())
})

/** Root may write everywhere but where nobody may. */
function freeze(folder: string): void {
  execFileSync('chattr', ['+i', folder])
}

function thaw(folder: string): void {
  execFileSync('chattr', ['-i', folder])
}

function missingFreeze(): string | undefined {
  try {
    freeze(directory)
    thaw(directory)
    return undefined
  } catch {
    return 'the file system of the temporary folder has no immutable folders, or this user may not make them'
  }
}

/** Tries each while nothing can be written, which leaves all as it was. */
async function expectUnchanged(vm: Vm, calls: readonly (() => PromiseLike<unknown>)[]): Promise<void> {
  const folder = join(directory, 'vms', vm.id)
  const before = await vm.getState().unwrap()
  freeze(folder)
  try {
    for (const call of calls) {
      expect(await call()).toMatchObject({ error: { code: 'PERMISSION_DENIED' } })
      expect(await vm.getState().unwrap()).toBe(before)
    }
  } finally {
    thaw(folder)
  }
}

test.for(['embedded', 'qmp'])(
  '%s: a VM whose folder can be written to again goes on as if nothing had been',
  async (scheme, context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
    await using server = await connect(`${scheme}://${directory}`).unwrap()
    const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
    await vm.start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    await expectUnchanged(vm, [
      () => vm.start(),
      () => vm.edit({ name: 'web-2' }),
      () => vm.createSnapshot({ name: 'one' }),
    ])
    await vm.start().unwrap()
    await expectUnchanged(vm, [
      () => vm.stop({ mode: 'kill' }),
      () => vm.suspend(),
      () => vm.createSnapshot({ name: 'one' }),
    ])
    await vm.pause().unwrap()
    await expectUnchanged(vm, [() => vm.suspend(), () => vm.stop({ mode: 'kill' })])
    await vm.resume().unwrap()
    await vm.suspend().unwrap()
    await vm.resume().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
  },
)

test('a claim that can not be released is released later, and can be taken again by the same process', async () => {
  const member = new Membership(directory)
  await member.join()
  const folder = join(directory, 'vm')
  execFileSync('mkdir', [folder])
  const claim = Claim.take(member, folder, 'running')
  if (!(claim instanceof Claim)) throw new Error('somebody has it')
  freeze(folder)
  try {
    claim.release()
    expect(Claim.holder(member, folder)).toBeUndefined()
    expect(() => Claim.take(member, folder, 'starting')).toThrow('EPERM')
  } finally {
    thaw(folder)
  }
  await expect.poll(() => readdir(folder)).toEqual(['claim'])
  await member.leave()
})
