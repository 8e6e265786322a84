import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { Claim } from '../../src/registry/claim.js'
import { Membership } from '../../src/registry/membership.js'
import { SerialGuest } from '../../src/testing/conformance/serial-guest.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { ReadOnlyMount } from '../support/read-only-mount.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'awaitvm-read-only-'))
  onTestFinished(() => rm(directory, { recursive: true, maxRetries: 3 }))
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
    skipWithout(context, (scheme === 'qmp' ? missingQemu : undefined) ?? missingFreeze())
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

/** Operations that need to write to the directory, by the VM that they are called of. */
const refused: Readonly<Record<'running' | 'stopped' | 'suspended', readonly ((vm: Vm) => PromiseLike<unknown>)[]>> = {
  running: [
    (vm) => vm.edit({ name: 'other' }),
    (vm) => vm.clone({ name: 'clone' }),
    (vm) => vm.clone({ name: 'clone', memory: true }),
    (vm) => vm.createSnapshot({ name: 'two' }),
    (vm) => vm.exportDisk(vm.config.disks[0]!.id, join(tmpdir(), `awaitvm-export-${randomUUID()}`)),
    (vm) => vm.suspend(),
    (vm) => vm.stop({ mode: 'kill' }),
    (vm) => vm.delete({ force: true }),
  ],
  stopped: [
    (vm) => vm.start(),
    (vm) => vm.edit({ description: 'other' }),
    (vm) => vm.edit({ disks: [...vm.config.disks, { sizeMiB: 1 }] }),
    (vm) => vm.clone({ name: 'clone' }),
    (vm) => vm.createSnapshot({ name: 'two' }),
    async (vm) => vm.switchToSnapshot((await vm.getSnapshotTree().unwrap())[0]!.id),
    async (vm) => vm.deleteSnapshot((await vm.getSnapshotTree().unwrap())[0]!.id),
    (vm) => vm.exportDisk(vm.config.disks[0]!.id, join(tmpdir(), `awaitvm-export-${randomUUID()}`)),
    (vm) => vm.delete(),
  ],
  suspended: [(vm) => vm.resume(), (vm) => vm.stop({ mode: 'kill' }), (vm) => vm.delete()],
}
/** Those that only QEMU's host has. */
const refusedByQemu: typeof refused = {
  running: [
    (vm) => vm.pause(),
    (vm) => vm.reset(),
    (vm) => vm.clone({ name: 'clone', linked: true }),
    (vm) => vm.edit({ disks: [...vm.config.disks, { sizeMiB: 1 }] }),
    (vm) => vm.screenshot(),
  ],
  stopped: [
    (vm) => vm.clone({ name: 'clone', linked: true }),
    (vm) => vm.unregister(),
    (vm) => vm.migrate(`qmp://${join(directory, '..', `${randomUUID()}-moved`)}`),
  ],
  suspended: [],
}

test.for(['embedded', 'qmp'])(
  '%s: a directory that becomes read-only refuses what it can not keep, and its VM runs on',
  async (scheme, context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
    await using server = await connect(`${scheme}://${directory}`).unwrap()
    const kernel = join(directory, '..', `guest-${randomUUID()}`)
    await writeFile(kernel, builtInGuest())
    onTestFinished(() => rm(kernel))
    const create = (name: string): Promise<Vm> =>
      server.createVm({ name, memoryMiB: 16, boot: { kernel }, disks: [{ sizeMiB: 1 }] }).unwrap()
    const [running, stopped, suspended] = [await create('running'), await create('stopped'), await create('suspended')]
    await stopped.createSnapshot({ name: 'one' }).unwrap()
    await suspended.start().unwrap()
    await suspended.suspend().unwrap()
    await running.start().unwrap()
    const guest = new SerialGuest(running)
    await guest.untilReady()
    const vms = { running, stopped, suspended }

    {
      using _mount = ReadOnlyMount.over(context, directory)
      expect((await server.getVmList().unwrap()).map(({ name }) => name)).toEqual(Object.keys(vms))
      const results: unknown[] = [await server.createVm({ name: 'new', disks: [{ sizeMiB: 1 }] })]
      for (const state of ['running', 'stopped', 'suspended'] as const) {
        for (const call of [...refused[state], ...(scheme === 'qmp' ? refusedByQemu[state] : [])]) {
          results.push(await call(vms[state]))
          expect(await vms[state].getState().unwrap(), String(call)).toBe(state)
        }
      }
      for (const result of results) {
        expect(result).toMatchObject({
          error: {
            code: 'PERMISSION_DENIED',
            message: expect.stringContaining(directory),
            hint: expect.stringContaining('mount the file system writable'),
          },
        })
      }
      await using other = await connect(`${scheme}://${directory}`).unwrap()
      expect(await (await other.getVm('running').unwrap()).getState().unwrap()).toBe('running')
      const counted = await guest.count()
      expect(await guest.count()).toBe(counted + 1)
      await guest.writeDisk(0x44)
    }

    expect(await guest.readDisk()).toBe(0x44)
    await running.edit({ description: 'writable' }).unwrap()
    await running.suspend().unwrap()
    await running.resume().unwrap()
    await running.stop({ mode: 'kill' }).unwrap()
    await running.start().unwrap()
    const again = new SerialGuest(running)
    await again.untilReady()
    expect(await again.readDisk()).toBe(0x44)
    await stopped.switchToSnapshot((await stopped.getSnapshotTree().unwrap())[0]!.id).unwrap()
    await suspended.resume().unwrap()
    for (const vm of Object.values(vms)) await vm.delete({ force: true }).unwrap()
    expect(await readdir(join(directory, 'vms'))).toEqual([])
  },
)

test('a claim that can not be released is released later, and can be taken again by the same process', async (context) => {
  skipWithout(context, missingFreeze())
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
