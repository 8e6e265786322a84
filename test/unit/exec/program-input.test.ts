import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { ExecOptions, JobOptions } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeProgram, type FakeProgram } from '../../support/fake-program.js'
import { uncaughtIn } from '../../support/uncaught.js'

const turn = (): Promise<void> => new Promise(setImmediate)

/** All that the program reads. */
async function readAll({ io }: Pick<FakeProgram, 'io'>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of io.input ?? []) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

const withInput = (input: ExecOptions['input'], options: JobOptions = {}) =>
  fakeProgram((vm) => vm.guest.exec(['cat'], { input, ...options }))

describe('input', () => {
  test.each<[string, ExecOptions['input'], string]>([
    ['a text', 'Ünï', 'Ünï'],
    ['bytes', Buffer.from('bytes'), 'bytes'],
    ['a stream', Readable.from([Buffer.from('a '), 'stream']), 'a stream'],
    [
      'a generator',
      (async function* () {
        yield 'a '
        yield Buffer.from('generator')
      })(),
      'a generator',
    ],
    ['nothing but the end', '', ''],
    ['a long text', 'x'.repeat(1_000_000), 'x'.repeat(1_000_000)],
  ])('may be %s', async (_what, input, expected) => {
    expect(await readAll(await withInput(input))).toBe(expected)
  })

  test('is at its end from the start if there is none', async () => {
    const { io, job } = await fakeProgram()
    expect(io.input).toBeUndefined()
    expect(job.stdin.writableEnded).toBe(true)
  })

  test('is read no faster than the program reads', async () => {
    let given = 0
    const { io } = await withInput(
      (async function* () {
        for (;;) yield String((given += 1))
      })(),
    )
    const input = io.input![Symbol.asyncIterator]()
    await input.next()
    await turn()
    expect(given).toBeLessThanOrEqual(2)
    await input.return?.()
  })

  test('that fails ends the program with the error as the cause', async () => {
    const broken = new Error('the disk is gone')
    const program = await withInput(
      (async function* () {
        yield 'a'
        throw broken
      })(),
    )
    await readAll(program).catch((error: unknown) => {
      program.call.fail(error)
    })
    const result = await program.job
    expect(result).toMatchObject({ error: { code: 'INVALID_ARGUMENT', path: 'options.input', cause: broken } })
  })

  test('that gives something else than text and bytes is refused', async () => {
    const program = await withInput(Readable.from([5]))
    await expect(readAll(program)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'options.input must give strings or Uint8Arrays, and gave one of the type number',
    })
  })

  test('is left at once by a program that ends while it waits for more, and a stream is destroyed', async () => {
    const source = new Readable({ read: () => undefined })
    const { io } = await withInput(source)
    const input = io.input![Symbol.asyncIterator]()
    const waiting = input.next()
    await input.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(source.destroyed).toBe(true)
  })

  test.each([5, {}, [], true])('that is %j is refused', async (input) => {
    const { vm } = await fakeProgram()
    expect(vm.guest.exec(['cat'], { input: input as never })).toMatchObject({
      retCode: 'INVALID_ARGUMENT',
      result: { error: { path: 'options.input' } },
    })
  })
})

describe('stdin', () => {
  test('passes on what is written, with back pressure, until its end', async () => {
    const { io, job } = await fakeProgram({ stdin: 'pipe' })
    const done: string[] = []
    job.stdin.write('one', () => done.push('one'))
    job.stdin.write(Buffer.from('two'), () => done.push('two'))
    job.stdin.end('three')
    const input = io.input![Symbol.asyncIterator]()
    expect(String((await input.next()).value)).toBe('one')
    await turn()
    expect(done).toEqual([])
    expect(String((await input.next()).value)).toBe('two')
    expect(done).toEqual(['one'])
    expect(String((await input.next()).value)).toBe('three')
    expect((await input.next()).done).toBe(true)
    await once(job.stdin, 'close')
  })

  test('of a program that has ended is an error only for one who writes', async () => {
    const silent = await fakeProgram({ stdin: 'pipe' })
    const errors = await uncaughtIn(async () => {
      const { stdin } = silent.job
      silent.end()
      await silent.job
      stdin.end()
    })
    expect(errors).toEqual([])
    const { job, end } = await fakeProgram({ stdin: 'pipe' })
    const failing = once(job.stdin, 'error')
    job.stdin.write('x')
    end()
    expect((await failing)[0]).toMatchObject({ code: 'EPIPE' })
    expect((await job.unwrap()).exitCode).toBe(0)
  })

  test('can not be had together with input', async () => {
    const { vm } = await fakeProgram()
    const job = vm.guest.exec(['cat'], { stdin: 'pipe', input: 'x' })
    expect(job).toMatchObject({ retCode: 'INVALID_ARGUMENT', result: { error: { path: 'options.stdin' } } })
  })
})

test.each([
  [['ls', 'a\0b'], 'command[1]', 'must not contain a NUL character'],
  ['ls \0', 'command', 'must not contain a NUL character'],
  [['echo', 'é'.repeat(65_536)], 'command[1]', 'must have at most 131071 bytes'],
  ['#'.repeat(131_072), 'command', 'must have at most 131071 bytes'],
  ['', 'command', 'must not be empty'],
  [[], 'command', 'must name a program'],
  [5, 'command', "must be an array of a program and its arguments, or a line for the guest's shell"],
])('the command %j is refused, and the reason says what is wrong with it', async (command, path, reason) => {
  const { vm } = await fakeProgram()
  expect(vm.guest.exec(command as never)).toMatchObject({
    retCode: 'INVALID_ARGUMENT',
    result: { error: { path, reason: expect.stringContaining(reason) } },
  })
})
