import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { pathToFileURL } from 'node:url'
import { connect, type Server, type Vm } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { formatIdentity, ownIdentity } from '../../../src/registry/process-identity.js'
import { VmDirectory } from '../../../src/registry/vm-directory.js'
import type { WrittenVm } from '../../../src/registry/vm-format.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

let parent: string
let directory: string
let uri: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'awaitvm-directory-'))
  directory = join(parent, 'a b%c')
  uri = pathToFileURL(directory).href.replace('file:', 'embedded:')
})

afterEach(async () => {
  await rm(parent, { recursive: true })
})

const using = async (action: (server: Server) => Promise<void>): Promise<void> => {
  await using server = await connect(uri).unwrap()
  await action(server)
}

const folderOf = (vm: Vm): string => join(directory, 'vms', vm.id)
const definitionOf = (vm: Vm): string => join(folderOf(vm), 'vm.json')

test('a directory is created with its parents, closed to other users, and keeps its VMs', async () => {
  await using(async (server) => {
    await server.createVm({ name: 'web-1', description: 'first', memoryMiB: 24, disks: [{ sizeMiB: 2 }] }).unwrap()
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
  })
  await using(async (server) => {
    const vm = await server.getVm('web-1').unwrap()
    expect(vm.state).toBe('stopped')
    expect(vm.config).toMatchObject({ name: 'web-1', description: 'first', memoryMiB: 24, disks: [{ sizeMiB: 2 }] })
  })
})

test('what a guest wrote to a disk is there after a kill, and in a later connection', async () => {
  await using(async (server) => {
    const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
    await vm.start().unwrap()
    await converse(vm, 'write 5a\nread\n', 'disk 5a')
    await vm.stop({ mode: 'kill' }).unwrap()
  })
  await using(async (server) => {
    const vm = await server.getVm('web-1').unwrap()
    await vm.start().unwrap()
    await converse(vm, 'read\n', 'disk 5a')
  })
})

describe('a directory that is not what it should be', () => {
  test.each([
    ['embedded://host/dir', 'embedded:///DIRECTORY'],
    ['embedded:dir', 'embedded:///DIRECTORY'],
    ['embedded:///dir?x=1', '"x"'],
    ['embedded:///a%2Fb', 'embedded:///DIRECTORY'],
  ])('%s is refused as a URI', async (malformed, expected) => {
    const error = (await connect(malformed))._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'uri' })
    expect(error.message).toContain(expected)
  })

  test('one that holds other files is refused, and left as it is', async () => {
    await mkdir(directory)
    await writeFile(join(directory, 'thesis.txt'), 'do not touch')
    const error = (await connect(uri))._unsafeUnwrapErr()
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'uri' })
    expect(error.message).toContain('Name an empty or a new directory')
    expect(await readdir(directory)).toEqual(['thesis.txt'])
  })

  test('a file is refused', async () => {
    await writeFile(directory, '')
    expect((await connect(uri))._unsafeUnwrapErr()).toMatchObject({
      code: 'INVALID_ARGUMENT',
      path: 'uri',
      reason: `the path ${directory} is not a directory`,
    })
  })

  test.each(['{', '{"format":"awaitvm-embedded","version":2}', '[]'])(
    'a marker that reads %s is refused',
    async (text) => {
      await using(async () => undefined)
      await writeFile(join(directory, 'awaitvm-embedded.json'), text)
      const error = (await connect(uri))._unsafeUnwrapErr()
      expect(error.code).toBe('PROTOCOL_ERROR')
      expect(error.message).toContain(join(directory, 'awaitvm-embedded.json'))
      expect(await readFile(join(directory, 'awaitvm-embedded.json'), 'utf8')).toBe(text)
    },
  )
})

describe('a damaged definition', () => {
  const damages: [string, (text: string) => string][] = [
    ['is cut off', (text) => text.slice(0, -20)],
    ['is empty', () => ''],
    ['names a file outside of the VM', (text) => text.replace(/disk-[0-9a-f-]+/, '../../../etc/passwd')],
    ['is of another VM', (text) => text.replace(/"id":"[0-9a-f]{8}/, '"id":"00000000')],
    ['is of a later format', (text) => text.replace('"format":1', '"format":2')],
  ]
  test.each(damages)('that %s is reported with its path, and other VMs are not affected', async (_, damage) => {
    await using(async (server) => {
      const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
      const other = await server.createVm({ name: 'web-2' }).unwrap()
      const damaged = damage(await readFile(definitionOf(vm), 'utf8'))
      await writeFile(definitionOf(vm), damaged)

      for (const job of [vm.refresh(), vm.getState(), vm.start(), vm.clone({ name: 'web-3' })]) {
        const error = (await job.wait())._unsafeUnwrapErr()
        expect(error.code).toBe('PROTOCOL_ERROR')
        expect(error.message).toContain(definitionOf(vm))
      }
      expect(await readFile(definitionOf(vm), 'utf8')).toBe(damaged)
      expect((await server.getVmList().unwrap()).map(({ id }) => id)).toEqual([other.id, vm.id])
      expect(vm.state).toBe('unknown')
      await other.start().unwrap()
      expect((await server.getVm('web-2').unwrap()).state).toBe('running')
    })
  })
})

test('a damaged claim is reported with its path', async () => {
  await using(async (server) => {
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await writeFile(join(folderOf(vm), 'claim,of,nobody'), '')
    const error = (await vm.start())._unsafeUnwrapErr()
    expect(error.code).toBe('PROTOCOL_ERROR')
    expect(error.message).toContain(join(folderOf(vm), 'claim,of,nobody'))
  })
})

/** A saved state as it was before: what now follows the state of the emulator came first, under another name. */
const formerly = (state: Buffer): Buffer => {
  const trailer = Buffer.from(state.subarray(-24))
  const emulator = Buffer.from(state.subarray(0, -24))
  trailer.write('AWVMSTA1', 'latin1')
  emulator.writeUInt32LE(emulator.byteLength, 8)
  return Buffer.concat([trailer, emulator])
}

describe('saved memory', () => {
  const suspended = async (server: Server): Promise<Vm> => {
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    await vm.suspend().unwrap()
    return vm
  }
  const memoryOf = async (vm: Vm): Promise<string> => {
    const name = (await readdir(folderOf(vm))).find((file) => file.startsWith('memory-'))
    return join(folderOf(vm), name ?? 'none')
  }

  test.each([
    ['is cut off', async (path: string) => writeFile(path, (await readFile(path)).subarray(0, 1000))],
    ['is not there', async (path: string) => rm(path)],
    ['is something else', async (path: string) => writeFile(path, 'hello')],
  ])('that %s is reported, the VM stays suspended, and can be dropped', async (_, damage) => {
    await using(async (server) => {
      const vm = await suspended(server)
      await damage(await memoryOf(vm))
      const error = (await vm.resume())._unsafeUnwrapErr()
      expect(error.code).toBe('PROTOCOL_ERROR')
      expect(error.message).toContain("vm.stop({ mode: 'kill' })")
      expect(await vm.getState().unwrap()).toBe('suspended')
      await vm.stop({ mode: 'kill' }).unwrap()
      await vm.start().unwrap()
    })
  })

  test('of an earlier version of awaitvm, which compressed it, is resumed', async () => {
    await using(async (server) => {
      const vm = await suspended(server)
      const path = await memoryOf(vm)
      await writeFile(path, deflateSync(formerly(await readFile(path))))
      await vm.resume().unwrap()
      expect(await vm.getState().unwrap()).toBe('running')
    })
  })

  test('of another version of the emulator is not tried', async () => {
    await using(async (server) => {
      const vm = await suspended(server)
      const text = await readFile(definitionOf(vm), 'utf8')
      await writeFile(definitionOf(vm), text.replace(/"emulator":"[^"]*"/, '"emulator":"0.1.0"'))
      const error = (await vm.resume())._unsafeUnwrapErr()
      expect(error.code).toBe('PROTOCOL_ERROR')
      expect(error.message).toContain('v86 0.1.0')
      expect(await vm.getState().unwrap()).toBe('suspended')
    })
  })
})

test('files that a dead process left unfinished are removed, those of a living one are not', async () => {
  await using(async () => undefined)
  const own = ownIdentity(false)
  const id = '11111111-1111-4111-8111-111111111111'
  const left = [`new-${formatIdentity({ ...own, pid: 999_999, began: '12345' })}-${id}`, `gone-${id}`]
  const alive = `new-${formatIdentity(own)}-${id}`
  for (const name of [...left, alive]) await mkdir(join(directory, 'unfinished', name), { recursive: true })
  await using(async () => undefined)
  expect(await readdir(join(directory, 'unfinished'))).toEqual([alive])
})

test('files that the definition does not name are removed by the next change', async () => {
  await using(async (server) => {
    const vm = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }] }).unwrap()
    const before = await readdir(folderOf(vm))
    const orphan = join(folderOf(vm), 'memory-11111111-1111-4111-8111-111111111111')
    await writeFile(orphan, 'left over')
    await copyFile(orphan, join(folderOf(vm), 'draft-left-over'))
    await vm.edit({ description: 'changed' }).unwrap()
    expect((await readdir(folderOf(vm))).toSorted()).toEqual([...before, 'claim'].toSorted())
  })
})

/** Sends the guest a line and waits until it has answered. */
async function converse(vm: Vm, line: string, answer: string): Promise<void> {
  const console = vm.console().setEncoding('utf8')
  let text = ''
  console.write(line)
  for await (const chunk of console) {
    text += String(chunk)
    if (text.toLowerCase().includes(answer)) return
  }
  throw new Error(`the guest said ${text}`)
}

test('a change of another process that comes just before a claim is not undone', async () => {
  await using server = await connect(uri).unwrap()
  await using other = await connect(uri).unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  const same = await other.getVm('web-1').unwrap()
  const claimed = vi.spyOn(VmDirectory.prototype, 'claim')
  onTestFinished(() => {
    claimed.mockRestore()
  })
  claimed.mockImplementationOnce(async function (this: VmDirectory<WrittenVm>, ...args) {
    await same.edit({ description: 'of the other' }).unwrap()
    return await this.claim(...args)
  })
  const error = await failureOf(vm.edit({ memoryMiB: 24 }), 'RESOURCE_BUSY')
  expect(error.retryable).toBe(true)
  await vm.edit({ memoryMiB: 24 }).unwrap()
  expect(vm.config).toMatchObject({ description: 'of the other', memoryMiB: 24 })
})
