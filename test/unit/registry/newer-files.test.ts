import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server, type Vm, type VmSpec } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { hostTask } from '../../../src/driver/host-task.js'
import { JobLedger } from '../../../src/registry/job-ledger.js'
import { Membership } from '../../../src/registry/membership.js'
import { soon } from '../../../src/testing/conformance/deadline.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'awaitvm-newer-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const folderOf = ({ id }: Pick<Vm, 'id'>): string => join(directory, 'vms', id)
const definitionOf = (vm: Pick<Vm, 'id'>): string => join(folderOf(vm), 'vm.json')

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null

/** The definition with an unknown key in one of its objects, for each object; with the path of the key. */
function* withUnknownKeys(text: string): Generator<[path: string, text: string], void> {
  const root = JSON.parse(text) as Json
  const pending: [string, Json][] = [['', root]]
  for (const [path, value] of pending) {
    for (const [key, part] of Object.entries(value)) if (isObject(part)) pending.push([`${path}${key}.`, part])
    // The keys of the record of images are paths, and a list has none.
    if (Array.isArray(value) || path.endsWith('images.')) continue
    value['added'] = { deep: [true] }
    yield [`${path}added`, JSON.stringify(root)]
    delete value['added']
  }
}

/** The content of all files in the directory, but for claims. */
function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.name.startsWith('claim'),
  )
  return Object.fromEntries(
    files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'latin1')]),
  )
}

const adapter = { portForwards: [{ guestPort: 22 }] }

describe.each<[scheme: string, missing: string | undefined, spec: Omit<VmSpec, 'name'>]>([
  ['embedded', undefined, { memoryMiB: 16 }],
  ['qmp', missingQemu, { memoryMiB: 16, networkAdapters: [adapter] }],
])('%s: a newer awaitvm', (scheme, missing, others) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })
  const open = (): Promise<Server> => connect(`${scheme}://${directory}`).unwrap()

  /** A VM with something in every part of its definition. */
  async function fullVm(server: Server): Promise<Vm> {
    const image = join(directory, '..', `awaitvm-image-${randomUUID()}`)
    writeFileSync(image, Buffer.alloc(65_536, 7))
    images.push(image)
    const disks = [{ sizeMiB: 1 }, { image }]
    const boot: VmSpec['boot'] = { order: ['disk'] }
    const vm = await server.createVm({ name: 'web-2', disks, cdroms: [{ image }], boot, ...others }).unwrap()
    await vm.start().unwrap()
    await vm.createSnapshot({ name: 'one' }).unwrap()
    await vm.suspend().unwrap()
    return vm
  }
  const images: string[] = []
  afterEach(() => {
    for (const image of images.splice(0)) rmSync(image)
  })

  /** Expects that the VM is refused by name, and that nothing of the directory is written to. */
  async function expectRefused(vm: Vm, says: string): Promise<void> {
    const before = contentOf(directory)
    await using server = await open()
    const shown = (await server.getVmList().unwrap()).find(({ id }) => id === vm.id)
    expect(shown).toMatchObject({ state: 'unknown', config: { name: 'web-2' } })
    expect(shown?.problem?.message).toContain('made by a newer awaitvm')
    expect(shown?.problem?.message).toContain(says)
    expect(shown?.problem?.hint).toContain('Use a newer awaitvm')
    for (const job of [
      vm.refresh(),
      vm.edit({ description: 'older' }),
      vm.resume(),
      vm.createSnapshot({ name: 'two' }),
    ]) {
      expect((await failureOf(job, 'PROTOCOL_ERROR')).message).toContain('made by a newer awaitvm')
    }
    expect(contentOf(directory)).toEqual(before)
  }

  test('has written a VM: it is refused by name, and nothing of it is lost', async () => {
    await using server = await open()
    const other = await server.createVm({ name: 'web-1' }).unwrap()
    const vm = await fullVm(server)
    const text = readFileSync(definitionOf(vm), 'utf8')
    const paths: string[] = []
    for (const [path, newer] of withUnknownKeys(text)) {
      paths.push(path)
      writeFileSync(definitionOf(vm), newer)
      await expectRefused(vm, path)
    }
    expect(paths).toEqual(
      expect.arrayContaining([
        'added',
        'hardware.added',
        'hardware.disks.1.added',
        'hardware.boot.added',
        'memory.added',
      ]),
    )
    expect(paths).toContain('snapshots.0.hardware.cdroms.0.added')
    expect(paths.includes('hardware.networkAdapters.0.portForwards.0.added')).toBe(scheme === 'qmp')

    writeFileSync(definitionOf(vm), text.replace('"format":1', '"format":2'))
    await expectRefused(vm, 'format')
    writeFileSync(definitionOf(vm), text.replace('"order":["disk"]', '"order":["network"]'))
    await expectRefused(vm, 'boot.order')

    await other.edit({ description: 'edited meanwhile' }).unwrap()
    writeFileSync(definitionOf(vm), text)
    await vm.resume().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
  }, 60_000)

  test('has made a file of another kind in a VM: it is kept by an edit and by the next connection', async () => {
    const made = (vm: Vm): string => join(folderOf(vm), `nvram-${randomUUID()}`)
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    const file = made(vm)
    writeFileSync(file, 'variables')
    await vm.edit({ description: 'older', memoryMiB: 24 }).unwrap()
    await using again = await open()
    expect((await again.getVm('web-1').unwrap()).state).toBe('stopped')
    expect(readFileSync(file, 'utf8')).toBe('variables')
  })

  test('has a VM in a state that is not known: its claim is left alone, and others are not hindered', async () => {
    await using server = await open()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    const claim = join(folderOf(vm), 'claim,converting,stopped,1,4711,1,00000000-0000-4000-8000-000000000000,1,,')
    writeFileSync(claim, '')
    const [shown] = await server.getVmList().unwrap()
    expect(shown).toMatchObject({ id: vm.id, state: 'unknown' })
    expect(shown?.problem?.message).toContain('made by a newer awaitvm')
    expect((await failureOf(vm.edit({ memoryMiB: 24 }), 'PROTOCOL_ERROR')).message).toContain(claim)
    await server.createVm({ name: 'web-2' }).unwrap()
    expect(readdirSync(folderOf(vm))).toContain(claim.slice(folderOf(vm).length + 1))
  })

  test('has made the directory: it is refused by name, and left as it is', async () => {
    await (await open()).close()
    const marker = join(directory, `awaitvm-${scheme}.json`)
    writeFileSync(marker, JSON.stringify({ format: `awaitvm-${scheme}`, version: 2, added: true }))
    const before = contentOf(directory)
    const error = await failureOf(connect(`${scheme}://${directory}`), 'PROTOCOL_ERROR')
    expect(error.message).toContain(`${marker} was made by a newer awaitvm`)
    expect(contentOf(directory)).toEqual(before)
  })
})

describe('QEMU:', () => {
  beforeEach((context) => {
    skipWithout(context, missingQemu)
  })

  test.each([
    ['with a key that is not known', { added: true }],
    ['of another version', { format: 2 }],
    ['of another accelerator', { accelerator: 'abacus' }],
  ])('a run.json %s is refused by name, and its QEMU is left alone', async (_what, change) => {
    await using server = await connect(`qmp://${directory}`).unwrap()
    const vm = await server.createVm({ name: 'web-1', memoryMiB: 16 }).unwrap()
    await vm.start().unwrap()
    const path = join(folderOf(vm), 'run.json')
    const text = readFileSync(path, 'utf8')
    const newer = JSON.stringify({ ...(JSON.parse(text) as Json), ...change })
    writeFileSync(path, newer)
    await using again = await connect(`qmp://${directory}`).unwrap()
    const [shown] = await again.getVmList().unwrap()
    expect(shown).toMatchObject({ state: 'unknown', config: { name: 'web-1' } })
    expect(shown?.problem?.message).toContain(`${path} was made by a newer awaitvm`)
    await failureOf(vm.stop({ mode: 'kill' }), 'PROTOCOL_ERROR')
    await failureOf(vm.delete(), 'PROTOCOL_ERROR')
    expect(readFileSync(path, 'utf8')).toBe(newer)
    writeFileSync(path, text)
    expect(await vm.getState().unwrap()).toBe('running')
    await vm.stop({ mode: 'kill' }).unwrap()
  })
})

test.each([
  ['of another version', { format: 2 }],
  ['of an operation that is not known', { operation: 'vm.convert' }],
])('the record of a job %s is not listed, and is not removed when others are', async (_what, change) => {
  const member = new Membership(directory)
  const explain = (error: unknown): never => {
    throw error
  }
  const ledger = new JobLedger({ root: directory, member }, 'fake', explain, () => Promise.resolve(false))
  const progress = {}
  const record = {
    format: 1,
    owner: member.identity,
    operation: 'vm.start',
    progress,
    isCancelable: false,
    refusals: 0,
  }
  const folder = join(directory, 'jobs')
  const long = 3600
  const write = (content: object): string => {
    const token = randomUUID()
    const path = join(folder, `${token}.json`)
    writeFileSync(path, JSON.stringify(content))
    utimesSync(path, Date.now() / 1000 - long, Date.now() / 1000 - long)
    return token
  }
  mkdirSync(folder)
  const present = write(record)
  const newer = write({ ...record, ...change })
  const ended = write({ ...record, endedAt: 0, outcome: { kind: 'succeeded' } })
  expect((await ledger.list()).map(({ token }) => token)).toEqual([present])
  const follower = createJob()
  const error = await ledger.follow(newer, hostTask(follower.task)).catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'PROTOCOL_ERROR', reason: expect.stringContaining('made by a newer awaitvm') })

  // The end of a job that lasted starts the removal of old records.
  const owned = createJob()
  let end = (): void => undefined
  const work = ledger.keep(hostTask(owned.task), () => new Promise<void>((resolve) => (end = resolve)))
  await vi.waitFor(() => owned.job.token ?? expect.fail('it is not written down yet'), soon)
  end()
  await work
  await vi.waitFor(() => {
    expect(readdirSync(folder)).not.toContain(`${ended}.json`)
  }, soon)
  expect(readdirSync(folder)).toEqual(expect.arrayContaining([`${present}.json`, `${newer}.json`]))
})
