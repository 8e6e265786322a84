import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { namesIn } from '../../../src/registry/names-in.js'
import { VmDirectory } from '../../../src/registry/vm-directory.js'
import type { WrittenVm } from '../../../src/registry/vm-format.js'
import { plainFormat } from '../../support/plain-format.js'

type Directory = VmDirectory<WrittenVm>

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'awaitvm-ephemeral-'))
  onTestFinished(() => {
    rmSync(root, { recursive: true, force: true })
  })
})

/** Another connection, as far as the files are concerned. */
async function open(): Promise<Directory> {
  const directory = await VmDirectory.open(root, plainFormat)
  onTestFinished(() => directory.close())
  return directory
}

async function create(directory: Directory, name: string, isEphemeral = true): Promise<WrittenVm> {
  const owner = isEphemeral ? directory.owner : undefined
  const vm = { id: randomUUID(), name, createdAt: new Date().toISOString(), owner }
  await directory.create(vm, async () => undefined)
  return vm
}

const end = vi.fn(async () => undefined)
const entries = (): Promise<string[]> => namesIn(join(root, 'ephemeral'))
const names = async (directory: Directory): Promise<string[]> => (await directory.list()).map(({ name }) => name)

/** Closes the connection as its process does when it dies: nothing is deleted. */
const abandon = (directory: Directory): Promise<void> => directory.close()

test('the VMs of a connection that has ended are deleted by the next one, once what runs them has been ended', async () => {
  const first = await open()
  await create(first, 'web-1')
  await create(first, 'kept', false)
  const second = await open()
  await second.deleteEphemeral(end)
  expect(await names(second)).toEqual(['web-1', 'kept'])
  expect(await entries()).toHaveLength(1)
  await abandon(first)
  end.mockClear()
  await second.deleteEphemeral(end)
  expect(end).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ name: 'web-1' }))
  expect(await names(second)).toEqual(['kept'])
  expect(await entries()).toEqual([])
})

test('a close deletes the VMs of its own connection only', async () => {
  const first = await open()
  const second = await open()
  await create(first, 'web-1')
  await create(second, 'web-2')
  await first.deleteEphemeral(end, true)
  expect(await names(second)).toEqual(['web-2'])
})

test('the entries of VMs that were deleted, kept, handed over or never made are no harm, and are dropped', async () => {
  const first = await open()
  const deleted = await create(first, 'deleted')
  await first.delete(deleted.id)
  const kept = await create(first, 'kept')
  await first.save({ ...kept, owner: undefined })
  expect(await entries()).toEqual([])
  const handedOver = await create(first, 'handed-over')
  const second = await open()
  await second.save({ ...handedOver, owner: second.owner })
  const stale = [deleted, kept, handedOver, { id: randomUUID() }].map(({ id }) => `${first.owner}-${id}`)
  for (const entry of stale) writeFileSync(join(root, 'ephemeral', entry), '')
  await abandon(first)
  const third = await open()
  await third.deleteEphemeral(end)
  expect(await names(third)).toEqual(['kept', 'handed-over'])
  expect(await entries()).toEqual([`${second.owner}-${handedOver.id}`])
})

test('a VM that another connection is working on is left for a later one', async () => {
  const first = await open()
  const vm = await create(first, 'web-1')
  const second = await open()
  const { claim } = await second.claim(vm.id, 'running')
  await first.deleteEphemeral(end, true)
  expect(await names(second)).toEqual(['web-1'])
  await abandon(first)
  claim.release()
  await second.deleteEphemeral(end)
  expect(await names(second)).toEqual([])
})

test('a close waits for a change that another connection makes', async () => {
  const first = await open()
  const vm = await create(first, 'web-1')
  const second = await open()
  const { claim } = await second.claim(vm.id, 'stopped')
  const closing = first.deleteEphemeral(end, true)
  await vi.waitFor(() => {
    expect(readdirSync(join(root, 'vms', vm.id)).some((file) => file.startsWith('claim,'))).toBe(true)
  })
  claim.release()
  await closing
  expect(await names(second)).toEqual([])
})

test('a VM whose definition is damaged is left, since whose it was can not be read', async () => {
  const first = await open()
  const vm = await create(first, 'web-1')
  writeFileSync(join(root, 'vms', vm.id, 'vm.json'), '{')
  await first.deleteEphemeral(end, true)
  await abandon(first)
  const second = await open()
  await second.deleteEphemeral(end)
  expect(await names(second)).toEqual([vm.id])
})

test('a VM that can not be ended is not deleted: a close says so, and the next connection warns and tries again', async () => {
  const first = await open()
  await create(first, 'web-1')
  await create(first, 'web-2')
  const failing = async ({ name }: WrittenVm): Promise<void> => {
    if (name === 'web-1') throw new Error('QEMU does not end')
  }
  await expect(first.deleteEphemeral(failing, true)).rejects.toThrow('QEMU does not end')
  expect(await names(first)).toEqual(['web-1'])
  await abandon(first)
  const second = await open()
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => {
    warn.mockRestore()
  })
  await second.deleteEphemeral(failing)
  expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('QEMU does not end'), 'AwaitvmWarning')
  await second.deleteEphemeral(end)
  expect(await names(second)).toEqual([])
})

test('files that are no entries are left alone', async () => {
  const first = await open()
  mkdirSync(join(root, 'ephemeral'))
  for (const name of ['notes', randomUUID(), `1,2-${randomUUID()}`]) writeFileSync(join(root, 'ephemeral', name), '')
  await first.deleteEphemeral(end, true)
  expect(await entries()).toHaveLength(3)
})
