import { once } from 'node:events'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { GuestFileError, type GuestEntry, type GuestStats, type Vm } from 'awaitvm'
import type { DriverInputs } from 'awaitvm/driver'
import { describe, expect, test } from 'vitest'
import type { FakeCall, FakeDriver } from '../support/fake-driver.js'
import { fakeServer } from '../support/fake-server.js'

const turn = (): Promise<void> => new Promise(setImmediate)
const codeOf = async (job: PromiseLike<unknown>): Promise<unknown> =>
  ((await job) as { readonly error?: { readonly code: string } }).error?.code

const reading = ({ last }: FakeDriver): FakeCall & { readonly input: DriverInputs['guest.readFile'] } => last as never
const writing = ({ last }: FakeDriver): FakeCall & { readonly input: DriverInputs['guest.writeFile'] } => last as never

async function written({ input }: { readonly input: DriverInputs['guest.writeFile'] }): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of input.input) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

const missing = (): GuestFileError => new GuestFileError({ errno: 'ENOENT', path: '/a', reason: 'there is no /a' })

describe('readFile', () => {
  test('gives text, or bytes', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.guest.readFile('/a')
    const bytes = Buffer.from('é')
    void reading(driver).input.output(bytes.subarray(0, 1))
    void reading(driver).input.output(bytes.subarray(1))
    driver.last.succeed()
    expect(await job.unwrap()).toBe('é')
    const buffer = vm.guest.readFile('/a', { encoding: 'buffer' })
    void reading(driver).input.output(bytes)
    driver.last.succeed()
    expect(await buffer.unwrap()).toEqual(new Uint8Array(bytes))
  })

  test('refuses a file that is longer than the limit', async () => {
    const { driver, vm } = await fakeServer()
    const job = vm.guest.readFile('/a', { maxBytes: 3 })
    const { output } = reading(driver).input
    void output(Buffer.from('123'))
    try {
      void output(Buffer.from('4'))
    } catch (error) {
      driver.last.fail(error)
    }
    expect(await job).toMatchObject({
      error: { code: 'GUEST_FILE_ERROR', errno: 'EFBIG', hint: expect.stringContaining('createReadStream') },
    })
  })
})

describe('writeFile', () => {
  test.each([
    ['a text', 'é'],
    ['bytes', Buffer.from('é')],
    ['a stream', Readable.from(['', 'é'])],
  ])('takes %s', async (_what, data) => {
    const { driver, vm } = await fakeServer()
    const job = vm.guest.writeFile('/a', data, { mode: 0o600 })
    expect(driver.last.input).toMatchObject({ vm: vm.id, path: '/a', mode: 0o600, append: false })
    expect(await written(writing(driver))).toBe('é')
    driver.last.succeed()
    await job.unwrap()
  })

  test.each([[{ mode: -1 }], [{ mode: 0o10000 }], [{ append: 1 }], [{ mod: 1 }]])(
    'refuses the options %j',
    async (options) => {
      const { driver, vm } = await fakeServer()
      expect(vm.guest.writeFile('/a', 'x', options as never).retCode).toBe('INVALID_ARGUMENT')
      expect(driver.calls).toEqual([])
    },
  )
})

const stats: GuestStats = {
  type: 'file',
  size: 1,
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: new Date(0),
  atime: new Date(0),
  ctime: new Date(0),
}
const entries: GuestEntry[] = [
  { name: 'b', type: 'file' },
  { name: 'a', type: 'directory' },
]

describe('folders and files', () => {
  test.each<[string, (vm: Vm) => PromiseLike<unknown>, object, unknown, unknown]>([
    ['guest.readdir', (vm) => vm.guest.readdir('/a'), { path: '/a' }, entries, ['a', 'b']],
    [
      'guest.readdir',
      (vm) => vm.guest.readdir('/a', { withFileTypes: true }),
      { path: '/a' },
      entries,
      [entries[1], entries[0]],
    ],
    ['guest.stat', (vm) => vm.guest.stat('/a'), { path: '/a', followLinks: true }, stats, stats],
    ['guest.stat', (vm) => vm.guest.lstat('/a'), { path: '/a', followLinks: false }, stats, stats],
    ['guest.stat', (vm) => vm.guest.exists('/a'), { path: '/a', followLinks: true }, stats, true],
    ['guest.stat', (vm) => vm.guest.exists('/a'), { path: '/a', followLinks: true }, undefined, false],
    ['guest.mkdir', (vm) => vm.guest.mkdir('/a'), { path: '/a', recursive: false }, 1, undefined],
    [
      'guest.mkdir',
      (vm) => vm.guest.mkdir('/a', { recursive: true, mode: 0o700 }),
      { path: '/a', recursive: true, mode: 0o700 },
      1,
      undefined,
    ],
    ['guest.rm', (vm) => vm.guest.rm('/a'), { path: '/a', recursive: false, force: false }, 1, undefined],
    [
      'guest.rm',
      (vm) => vm.guest.rm('/a', { recursive: true, force: true }),
      { path: '/a', recursive: true, force: true },
      1,
      undefined,
    ],
    ['guest.rename', (vm) => vm.guest.rename('/a', '/b'), { from: '/a', to: '/b' }, 1, undefined],
    [
      'guest.copyIn',
      (vm) => vm.guest.copyIn('/a', 'b', { owner: 'ci:ci' }),
      { from: '/a', to: 'b', owner: 'ci:ci' },
      1,
      undefined,
    ],
    ['guest.copyOut', (vm) => vm.guest.copyOut('a', '/b'), { from: 'a', to: '/b' }, 1, undefined],
  ])('%s: %s', async (operation, call, input, output, value) => {
    const { driver, vm } = await fakeServer()
    const job = call(vm)
    expect(driver.last).toMatchObject({ operation })
    expect(driver.last.input).toEqual({ vm: vm.id, ...input })
    driver.last.succeed(output)
    expect(((await job) as { readonly value: unknown }).value).toEqual(value)
  })

  test('stat of a missing file is an error, which names it', async () => {
    const { driver, vm } = await fakeServer({ answers: { 'guest.stat': () => undefined } })
    expect(await vm.guest.stat('/a')).toMatchObject({
      error: { code: 'GUEST_FILE_ERROR', errno: 'ENOENT', path: '/a' },
    })
    expect(driver.calls).toHaveLength(1)
  })
})

describe('createReadStream', () => {
  test('gives the file, as much as its reader wants', async () => {
    const { driver, vm } = await fakeServer()
    const stream = vm.guest.createReadStream('/a', { start: 2, end: 5 })
    expect(driver.last.input).toMatchObject({ path: '/a', start: 2, end: 6 })
    const held = reading(driver).input.output(Buffer.alloc(2 ** 20, 'x'))
    expect(held).toBeInstanceOf(Promise)
    const all = text(stream)
    await held
    driver.last.succeed()
    expect(await all).toHaveLength(2 ** 20)
  })

  test('has the error of the reading, and of wrong arguments', async () => {
    const { driver, vm } = await fakeServer()
    const all = text(vm.guest.createReadStream('/a'))
    driver.last.fail(missing())
    await expect(all).rejects.toMatchObject({ code: 'GUEST_FILE_ERROR', operation: 'guest.readFile' })
    await expect(text(vm.guest.createReadStream(''))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'path' })
    await expect(text(vm.guest.createReadStream('/a', { start: 3, end: 2 }))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      path: 'options.end',
    })
  })

  test('that is destroyed ends the reading, and holds nothing back', async () => {
    const { driver, vm } = await fakeServer()
    const stream = vm.guest.createReadStream('/a')
    const { task, fail, input } = reading(driver)
    const { signal } = task
    const held = input.output(Buffer.alloc(2 ** 20))
    stream.destroy()
    await held
    expect(signal.aborted).toBe(true)
    fail(signal.reason)
    await once(stream, 'close')
  })
})

describe('createWriteStream', () => {
  test('has finished once the file is complete', async () => {
    const { driver, vm } = await fakeServer()
    const stream = vm.guest.createWriteStream('/a', { append: true })
    expect(driver.last.input).toMatchObject({ path: '/a', append: true })
    let isFinished = false
    const finished = once(stream, 'finish').then(() => {
      isFinished = true
    })
    stream.write('one ')
    stream.end('two')
    expect(await written(writing(driver))).toBe('one two')
    await turn()
    expect(isFinished).toBe(false)
    driver.last.succeed()
    await finished
  })

  test('has the error of the writing, whatever was written before', async () => {
    const { driver, vm } = await fakeServer()
    const source = Readable.from(['a'.repeat(100_000), 'b'.repeat(100_000)])
    const copying = pipeline(source, vm.guest.createWriteStream('/a'))
    await writing(driver).input.input[Symbol.asyncIterator]().next()
    driver.last.fail(missing())
    await expect(copying).rejects.toMatchObject({ code: 'GUEST_FILE_ERROR', operation: 'guest.writeFile' })
  })

  test('that is destroyed leaves no part of the content: the writing ends with an error', async () => {
    const { driver, vm } = await fakeServer()
    const stream = vm.guest.createWriteStream('/a')
    const { task, fail } = writing(driver)
    task.signal.addEventListener('abort', () => undefined)
    const content = written(writing(driver))
    stream.write('a')
    await turn()
    stream.destroy()
    await expect(content).rejects.toMatchObject({ code: 'JOB_CANCELLED' })
    fail(task.signal.reason)
    await once(stream, 'close')
  })
})

test('waiting for the guest and for ports', async () => {
  const { driver, vm } = await fakeServer({
    answers: { 'guest.waitUntilReady': () => undefined, 'guest.waitForPort': () => undefined },
  })
  await vm.guest.waitUntilReady({ timeoutMs: 1000 }).unwrap()
  await vm.guest.waitForPort(80).unwrap()
  await vm.guest.waitForPort(80, { host: '::1' }).unwrap()
  expect(driver.calls.map(({ input }) => input)).toEqual([
    { vm: vm.id },
    { vm: vm.id, port: 80 },
    { vm: vm.id, port: 80, host: '::1' },
  ])
  for (const port of [0, 65_536, 1.5, '80'])
    expect(await codeOf(vm.guest.waitForPort(port as never))).toBe('INVALID_ARGUMENT')
})
