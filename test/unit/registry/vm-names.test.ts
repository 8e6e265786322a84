import { randomUUID } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi, type MockInstance } from 'vitest'
import { NameIndex } from '../../../src/registry/name-index.js'
import { VmDefinitions } from '../../../src/registry/vm-definitions.js'
import { VmDirectory } from '../../../src/registry/vm-directory.js'
import type { WrittenVm } from '../../../src/registry/vm-format.js'
import { Child } from '../../support/child-process.js'
import { plainFormat } from '../../support/plain-format.js'

let root: string
let readings: MockInstance<VmDefinitions<WrittenVm>['all']>
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'awaitvm-names-'))
  readings = vi.spyOn(VmDefinitions.prototype, 'all')
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(root, { recursive: true, force: true })
})

/** Another process, as far as the files are concerned. */
async function open(path = root): Promise<VmDirectory<WrittenVm>> {
  const directory = await VmDirectory.open(path, plainFormat)
  onTestFinished(() => directory.close())
  return directory
}

async function create(directory: VmDirectory<WrittenVm>, name: string, id: string = randomUUID()): Promise<WrittenVm> {
  const vm = { id, name, createdAt: new Date().toISOString() }
  await directory.create(vm, async () => undefined)
  return vm
}

const folderOf = ({ id }: Pick<WrittenVm, 'id'>): string => join(root, 'vms', id)
const definitionOf = (vm: Pick<WrittenVm, 'id'>): string => join(folderOf(vm), 'vm.json')
const isTaken = { code: 'ALREADY_EXISTS' }

/** The file with the id of the VM. */
function entryOf({ id }: WrittenVm): string {
  const names = join(root, 'names')
  const file = readdirSync(names).find((entry) => readFileSync(join(names, entry), 'utf8') === id)
  return join(names, file ?? `no entry of ${id}`)
}

/** How often all VMs are read for the action. */
async function readingsOf(action: () => Promise<unknown>): Promise<number> {
  readings.mockClear()
  await action()
  return readings.mock.calls.length
}

test('VMs are created, found, renamed and deleted without a look at the others, also by a new process', async () => {
  const first = await open()
  const vm = await create(first, 'web-1')
  await create(first, 'web-2')
  const second = await open()
  const times = await readingsOf(async () => {
    const third = await create(second, 'web-3')
    expect(await second.findByName('web-1')).toEqual(vm)
    await expect(create(second, 'web-2')).rejects.toMatchObject(isTaken)
    await second.save({ ...vm, name: 'web-4' })
    expect(await first.findByName('web-4')).toMatchObject({ id: vm.id })
    await first.delete(third.id)
    await first.unregister(vm.id)
    await create(second, 'web-3')
    await create(second, 'web-1')
    await create(second, 'web-4')
  })
  expect(times).toBe(0)
  expect((await first.list()).map(({ name }) => name)).toEqual(['web-2', 'web-3', 'web-1', 'web-4'])
})

test('a name that no VM has is not found; the definitions are read before that is said', async () => {
  const directory = await open()
  const vm = await create(directory, 'web-1')
  expect(await readingsOf(() => directory.findByName('web-2'))).toBe(1)
  writeFileSync(definitionOf(vm), JSON.stringify({ ...vm, name: 'web-2' }))
  expect(await directory.findByName('web-2')).toMatchObject({ id: vm.id })
  expect(await directory.findByName('web-1')).toBeUndefined()
  expect(await readingsOf(() => directory.findByName('web-2'))).toBe(0)
  await expect(create(directory, 'web-2')).rejects.toMatchObject(isTaken)
})

test('renamed and deleted VMs leave no entry', async () => {
  const directory = await open()
  const vm = await create(directory, 'web-1')
  await directory.save({ ...vm, name: 'web-2' })
  await directory.delete(vm.id)
  expect(readdirSync(join(root, 'names'))).toEqual(['complete'])
  expect(readdirSync(join(root, 'unfinished'))).toEqual([])
})

const lies: Record<string, (entry: string, other: WrittenVm) => void> = {
  'names another VM': (entry, other) => {
    writeFileSync(entry, other.id)
  },
  'names no VM': (entry) => {
    writeFileSync(entry, randomUUID())
  },
  'leads out of the directory': (entry) => {
    writeFileSync(entry, '../../../etc')
  },
  'is empty': (entry) => {
    writeFileSync(entry, '')
  },
  'is too large': (entry) => {
    writeFileSync(entry, 'x'.repeat(2000))
  },
}

test.each(Object.entries(lies))(
  'an entry that %s is not believed, and is put right by the first lookup',
  async (_, lie) => {
    const directory = await open()
    const vm = await create(directory, 'web-1')
    const other = await create(directory, 'web-2')
    const entry = entryOf(vm)
    lie(entry, other)
    await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
    expect(readFileSync(entry, 'utf8')).toBe(vm.id)
    lie(entry, other)
    expect(await directory.findByName('web-1')).toEqual(vm)
    expect(await readingsOf(() => directory.findByName('web-1'))).toBe(0)
  },
)

test('an index that was removed is made again by one reading', async () => {
  const directory = await open()
  const vm = await create(directory, 'web-1')
  rmSync(join(root, 'names'), { recursive: true })
  expect(await directory.findByName('web-1')).toEqual(vm)
  rmSync(join(root, 'names'), { recursive: true })
  const times = await readingsOf(async () => {
    await create(directory, 'web-2')
    await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
  })
  expect(times).toBe(1)
})

test("a lookup succeeds although its entry can't be written", async () => {
  const directory = await open()
  const vm = await create(directory, 'web-1')
  rmSync(join(root, 'names'), { recursive: true })
  writeFileSync(join(root, 'names'), 'in its place')
  vi.spyOn(process, 'emitWarning').mockReturnValue()
  expect(await directory.findByName('web-1')).toEqual(vm)
  await directory.delete(vm.id)
  expect(await directory.list()).toEqual([])
})

test('VMs that are put into the directory and taken out of it by hand are noticed', async () => {
  const elsewhere = join(root, 'elsewhere')
  const source = await open(elsewhere)
  const vm = await create(source, 'web-1')
  const target = join(root, 'target')
  const directory = await open(target)
  const own = await create(directory, 'web-2')
  cpSync(join(elsewhere, 'vms', vm.id), join(target, 'vms', vm.id), { recursive: true })
  await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
  expect(await directory.findByName('web-1')).toEqual(vm)
  expect(await readingsOf(() => create(directory, 'web-3'))).toBe(0)

  rmSync(join(target, 'vms', own.id), { recursive: true })
  expect(await directory.findByName('web-2')).toBeUndefined()
  await create(directory, 'web-2')
  expect(await readingsOf(() => create(directory, 'web-4'))).toBe(0)
})

test('two VMs with one name, put there by hand, keep it from others until the last one is gone', async () => {
  const source = await open(join(root, 'elsewhere'))
  const copied = await create(source, 'web-1')
  const target = join(root, 'target')
  const directory = await open(target)
  const own = await create(directory, 'web-1')
  cpSync(join(root, 'elsewhere', 'vms', copied.id), join(target, 'vms', copied.id), { recursive: true })
  await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
  await create(directory, 'web-2')
  await directory.delete(own.id)
  await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
  expect(await directory.findByName('web-1')).toEqual(copied)
  await directory.delete(copied.id)
  await create(directory, 'web-1')
})

test('a VM whose definition is put back into its place by hand has kept its name', async () => {
  const directory = await open()
  const vm = await create(directory, 'web-1')
  await create(directory, 'web-2')
  renameSync(definitionOf(vm), join(root, 'kept'))
  await create(directory, 'web-3')
  rmSync(join(root, 'names'), { recursive: true })
  await create(directory, 'web-4')
  renameSync(join(root, 'kept'), definitionOf(vm))
  await expect(create(directory, 'web-1')).rejects.toMatchObject(isTaken)
  expect(await readingsOf(() => create(directory, 'web-5'))).toBe(0)
})

test('a backup of the whole directory brings back its VMs and their names', async () => {
  const home = join(root, 'home')
  const directory = await open(home)
  const vm = await create(directory, 'web-1')
  cpSync(home, join(root, 'backup'), {
    recursive: true,
    preserveTimestamps: true,
    filter: (path) => !path.includes('processes'),
  })
  await directory.save({ ...vm, name: 'web-2' })
  await create(directory, 'web-3')
  await directory.close()
  rmSync(home, { recursive: true })
  renameSync(join(root, 'backup'), home)
  const again = await open(home)
  await expect(create(again, 'web-1')).rejects.toMatchObject(isTaken)
  await create(again, 'web-2')
  await create(again, 'web-3')
})

test("a VM whose id is another one's name is not taken into the directory", async () => {
  const directory = await open()
  const id = randomUUID()
  const namesake = await create(directory, id)
  const newcomer = join(root, 'newcomer')
  mkdirSync(newcomer)
  const vm = { id, name: 'web-1', createdAt: namesake.createdAt }
  writeFileSync(join(newcomer, 'vm.json'), JSON.stringify(vm))
  await expect(directory.adopt(vm, newcomer)).rejects.toMatchObject({
    ...isTaken,
    message: expect.stringContaining(namesake.id) as string,
  })
  await directory.save({ ...namesake, name: 'web-2' })
  await directory.adopt(vm, newcomer)
  expect(await directory.findByName('web-1')).toEqual(vm)
})

/** Makes the directory as a process leaves it that dies at a step of a change. */
const deaths: Record<string, (directory: VmDirectory<WrittenVm>, vm: WrittenVm) => Promise<unknown>> = {
  'before a new VM is in its place': (directory) => {
    vi.spyOn(NameIndex.prototype, 'changing').mockRejectedValueOnce(new Error('died'))
    return create(directory, 'new')
  },
  'after a new VM came to its place': (directory) => {
    vi.spyOn(NameIndex.prototype, 'changing').mockImplementationOnce(async (_, action) => {
      await action()
      throw new Error('died')
    })
    return create(directory, 'new')
  },
  'before a name is written': async ({ vms }, { id }) => {
    new NameIndex(root, vms).put({ id, name: 'renamed' })
    throw new Error('died')
  },
  'after a name was written': (directory, vm) => {
    vi.spyOn(NameIndex.prototype, 'drop').mockImplementationOnce(() => {
      throw new Error('died')
    })
    return directory.save({ ...vm, name: 'renamed' })
  },
  'after a VM was removed': (directory, vm) => {
    vi.spyOn(NameIndex.prototype, 'drop').mockImplementationOnce(() => {
      throw new Error('died')
    })
    return directory.delete(vm.id)
  },
}

test.each(Object.entries(deaths))(
  'a process that died %s leaves no name behind, and takes none away',
  async (_, die) => {
    const directory = await open()
    const vm = await create(directory, 'web-1')
    await create(directory, 'web-2')
    await expect(die(directory, vm)).rejects.toThrow('died')
    const again = await open()
    const present = new Map((await again.list()).map(({ name, id }) => [name, id]))
    for (const name of ['web-1', 'web-2', 'new', 'renamed']) {
      expect((await again.findByName(name))?.id).toBe(present.get(name))
      if (present.has(name)) await expect(create(again, name)).rejects.toMatchObject(isTaken)
      else await create(again, name)
    }
    expect(await readingsOf(() => create(again, 'last'))).toBe(0)
    expect(readdirSync(join(root, 'names'))).toHaveLength((await again.ids()).length + 1)
  },
)

test('of several processes that give one name, one succeeds', { timeout: 60_000 }, async () => {
  const children = [1, 2, 3].map(() => new Child('naming-child.ts', [root, '100']))
  await using _ = {
    [Symbol.asyncDispose]: () => Promise.all(children.map((child) => child.kill())).then(() => undefined),
  }
  await Promise.all(children.map((child) => child.printed('done')))
  const made = children.flatMap(({ lines }) => lines.filter((line) => line.startsWith('made')))
  expect(made).toHaveLength(100)
  expect(new Set(made).size).toBe(100)
  const directory = await open()
  expect(new Set((await directory.list()).map(({ name }) => name)).size).toBe(100)
})

test('processes that are killed while they give names leave each name to one VM', { timeout: 120_000 }, async () => {
  for (let round = 0; round < 5; round += 1) {
    const children = [1, 2].map(() => new Child('naming-child.ts', [root]))
    await Promise.all(children.map((child) => child.printed('begun')))
    const directory = await open()
    // Some changes later, in the midst of another one.
    const watched = await create(directory, `of-round-${String(round)}`)
    await Promise.all(children.map((child) => child.kill()))
    const all = await directory.list()
    expect(all).toContainEqual(watched)
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
    for (const vm of all) {
      expect(await directory.findByName(vm.name)).toEqual(vm)
      await expect(create(directory, vm.name)).rejects.toMatchObject(isTaken)
    }
    const gone = all.filter(({ name }) => name.startsWith('new-'))
    for (const { id } of gone) await directory.delete(id)
    for (const { name } of gone) await create(directory, name)
    await directory.close()
  }
  await open()
  expect(readdirSync(join(root, 'unfinished'))).toEqual([])
})
